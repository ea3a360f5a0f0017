"""Texts -> token ids within the model's limit. Knows no model and no request."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from bestiary.errors import ContextOverflow, InvalidRequest

TOKENIZER_FILE = "tokenizer.json"
SENTENCE_FILE = "sentence_bert_config.json"  # of sentence-transformers: what it was trained on


@dataclass(frozen=True, slots=True)
class TokenizedInput:
    """Special tokens included."""

    ids: tuple[int, ...]
    truncated: bool


class EncoderTokenizer:
    """Thread-safe. `limit` counts special tokens."""

    def __init__(self, tokenizer: Tokenizer, limit: int) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self.limit = limit
        self._tokenizer = tokenizer
        self._vocabulary: int = tokenizer.get_vocab_size(with_added_tokens=True)
        self._room: int = limit - tokenizer.num_special_tokens_to_add(False)

    def encode(
        self, inputs: Sequence[str | tuple[int, ...]], truncate: bool
    ) -> list[TokenizedInput]:
        """Token ids are taken as they are, special tokens and all.

        Raises ContextOverflow for an input over the limit unless `truncate`, and
        InvalidRequest for an empty one or for an id that the vocabulary lacks.
        """
        return [self._encode(index, value, truncate) for index, value in enumerate(inputs)]

    def count(self, text: str) -> tuple[int, ...]:
        """All token ids of a text, however long."""
        return tuple(self._tokenizer.encode(text).ids)

    def _encode(self, index: int, value: str | tuple[int, ...], truncate: bool) -> TokenizedInput:
        if not value:
            raise InvalidRequest(f"input {index} is empty", "input")
        if isinstance(value, str):
            return self._encode_text(index, value, truncate)
        wrong = next((token for token in value if not 0 <= token < self._vocabulary), None)
        if wrong is not None:
            raise InvalidRequest(f"input {index}: the vocabulary has no token {wrong}", "input")
        if len(value) <= self.limit:
            return TokenizedInput(value, truncated=False)
        if not truncate:
            raise self._overflow(index, len(value))
        return TokenizedInput(value[: self.limit], truncated=True)

    def _encode_text(self, index: int, text: str, truncate: bool) -> TokenizedInput:
        plain = self._tokenizer.encode(text, add_special_tokens=False)
        over = len(plain.ids) > self._room
        if over and not truncate:
            raise self._overflow(index, len(plain.ids) + self.limit - self._room)
        if over:
            plain.truncate(self._room)
        return TokenizedInput(tuple(self._tokenizer.post_process(plain).ids), truncated=over)

    def _overflow(self, index: int, tokens: int) -> ContextOverflow:
        return ContextOverflow(
            f"input {index} has {tokens} tokens; the model takes {self.limit}",
            "input",
            tokens,
            self.limit,
        )


def load_tokenizer(folder: Path, longest: int) -> EncoderTokenizer:
    """The folder's tokenizer; the limit is the smallest of `longest` and the folder's own."""
    limit = min(longest, _trained_length(folder) or longest)
    return EncoderTokenizer(Tokenizer.from_file(str(folder / TOKENIZER_FILE)), limit)


def _trained_length(folder: Path) -> int | None:
    path = folder / SENTENCE_FILE
    if not path.is_file():
        return None
    length = json.loads(path.read_text(encoding="utf-8")).get("max_seq_length")
    return length if isinstance(length, int) else None
