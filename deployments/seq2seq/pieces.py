"""A model's two vocabularies: texts to ids of the source, ids of the target to texts.

`tokenizer.json` serves both sides; Marian has a SentencePiece file for each (`marian.py`).
Knows no limit and no request.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tokenizers import Tokenizer

from bestiary.errors import KernelError
from deployments.seq2seq.marian import SOURCE_FILE, MarianPieces
from deployments.seq2seq.token_texts import TokenTexts

TOKENIZER_FILE = "tokenizer.json"


class Pieces(Protocol):
    @property
    def specials(self) -> int:
        """Tokens that `finished` adds."""
        ...

    def encode(self, text: str, most: int | None) -> tuple[list[int], int]:
        """The first `most` ids of a text, special tokens included, and how many there would
        be of all of it."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """The text of generated ids; special tokens have none."""
        ...

    def token_text(self, token: int) -> str:
        """Of one token, for people; a space in front begins a word. See `TokenTexts.text`."""
        ...


class JsonPieces:
    """`tokenizers`' own file. `end` is put behind where the file does not do so itself."""

    def __init__(self, tokenizer: Tokenizer, end: int) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        self._end = end
        empty = list(tokenizer.encode("").ids)
        self._adds_end = end in empty
        self._texts = TokenTexts(tokenizer)
        self.specials: int = len(empty) + (not self._adds_end)

    def encode(self, text: str, most: int | None) -> tuple[list[int], int]:
        plain = self._tokenizer.encode(text, add_special_tokens=False)
        whole = len(plain.ids) + self.specials
        if most is not None and whole > most:
            plain.truncate(max(0, most - self.specials))
        ids: list[int] = list(self._tokenizer.post_process(plain).ids)
        return (ids if self._adds_end else [*ids, self._end]), whole

    def decode(self, ids: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=True)
        return text.lstrip(" ")  # what is before the first word is byte-level tokenizers' own

    def token_text(self, token: int) -> str:
        return self._texts.text(token)


def load_pieces(folder: Path, end: int) -> Pieces:
    """Raises KernelError where the folder has no tokenizer that is known here."""
    if (folder / TOKENIZER_FILE).is_file():
        return JsonPieces(Tokenizer.from_file(str(folder / TOKENIZER_FILE)), end)
    if (folder / SOURCE_FILE).is_file():
        return MarianPieces(folder, end)
    raise KernelError(f"{folder} has neither {TOKENIZER_FILE} nor {SOURCE_FILE}")
