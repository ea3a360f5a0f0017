"""Texts -> token ids within the model's limit. Knows no model and no task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bestiary.errors import ContextOverflow, InvalidRequest
from deployments.seq2seq.pieces import Pieces


@dataclass(frozen=True, slots=True)
class TokenizedInput:
    """Special tokens included."""

    ids: tuple[int, ...]
    truncated: bool


class SourceTokenizer:
    """Thread-safe. `limit` counts special tokens and the task's prefix."""

    def __init__(self, pieces: Pieces, limit: int) -> None:
        self.pieces = pieces
        self.limit = limit

    def encode(self, inputs: Sequence[str], prefix: str, truncate: bool) -> list[TokenizedInput]:
        """Raises InvalidRequest for a text of nothing but space, and ContextOverflow for one
        over the limit unless `truncate`."""
        return [self._encode(index, text, prefix, truncate) for index, text in enumerate(inputs)]

    def count(self, text: str) -> tuple[int, ...]:
        """All token ids of a text, however long."""
        return tuple(self.pieces.encode(text, None)[0])

    def _encode(self, index: int, text: str, prefix: str, truncate: bool) -> TokenizedInput:
        if not text.strip():
            raise InvalidRequest(f"input {index} is empty", "input")
        ids, whole = self.pieces.encode(prefix + text, self.limit)
        if whole > self.limit and not truncate:
            raise ContextOverflow(
                f"input {index} has {whole} tokens; the model takes {self.limit}. "
                "With truncate its end is left out",
                "input",
                whole,
                self.limit,
            )
        return TokenizedInput(tuple(ids), truncated=whole > self.limit)
