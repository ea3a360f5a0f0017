"""Sources and targets -> token ids, as a replica reads the former and writes the latter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from bestiary.errors import InvalidRequest
from bestiary.garden import InstalledModel
from services.tuning.data.examples import Completion, Translation
from services.tuning.trainers.seq2seq.prefixes import Prefixes
from training.seq2seq_batches import EncodedPair

TOKENIZER_FILE = "tokenizer.json"


@dataclass(frozen=True, slots=True)
class Pair:
    source: str  # its prefix included
    target: str


class PairReader:
    """`limit`: tokens of either side; longer ones are cut, a source before its end token.

    `end` is put behind where the tokenizer does not do so itself.
    Raises InvalidRequest for a base with another kind of tokenizer.
    """

    def __init__(self, base: InstalledModel, limit: int, end: int) -> None:
        self._prefixes = Prefixes(base.card, base.path)
        self._tokenizer = _tokenizer(base.path)
        self._limit = limit
        empty = list(self._tokenizer.encode("").ids)
        self._end = () if end in empty else (end,)

    def pairs(self, examples: Sequence[Translation | Completion]) -> list[Pair]:
        """Raises InvalidRequest for languages that the base does not have."""
        return [self._pair(one) for one in examples]

    def read(self, pairs: Sequence[Pair]) -> list[EncodedPair]:
        self._tokenizer.enable_truncation(self._limit - len(self._end))
        sources = self._tokenizer.encode_batch([one.source for one in pairs])
        self._tokenizer.no_truncation()
        # A target that is cut has not ended: its end token is not taught.
        targets = self._tokenizer.encode_batch([one.target for one in pairs])
        return [
            EncodedPair((*source.ids, *self._end), (*target.ids, *self._end)[: self._limit])
            for source, target in zip(sources, targets, strict=True)
        ]

    def texts(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """Of generated ids."""
        return [str(text).strip() for text in self._tokenizer.decode_batch(list(rows))]

    def _pair(self, example: Translation | Completion) -> Pair:
        if isinstance(example, Completion):
            return Pair(self._prefixes.of(None, None) + example.prompt, example.completion)
        prefix = self._prefixes.of(example.source_language, example.target_language)
        return Pair(prefix + example.source, example.target)


def _tokenizer(folder: Path) -> Tokenizer:
    if not (folder / TOKENIZER_FILE).is_file():
        raise InvalidRequest(
            f"{folder.parent.name} has no {TOKENIZER_FILE}; models with a SentencePiece file for "
            "each side cannot be tuned here",
            "model",
        )
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
    tokenizer.no_padding()
    return tokenizer
