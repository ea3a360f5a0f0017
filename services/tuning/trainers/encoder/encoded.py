"""Texts -> token ids as a replica would read them, and batches of them -> tensors for BERT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Encoding, Tokenizer
from torch import Tensor

from training.padding import attention_of, padded

TextOrPair = str | tuple[str, str]


@dataclass(frozen=True, slots=True)
class EncodedText:
    """Special tokens included."""

    ids: tuple[int, ...]
    segments: tuple[int, ...]  # 1 in the second text of a pair


class TextReader:
    """`limit` counts special tokens; longer texts are cut, of a pair the longer one first."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(limit)

    def read(self, texts: Sequence[TextOrPair]) -> list[EncodedText]:
        return [encoded(one) for one in self.encodings(texts)]

    def encodings(self, texts: Sequence[TextOrPair]) -> list[Encoding]:
        """With offsets and words."""
        found: list[Encoding] = self._tokenizer.encode_batch(list(texts))
        return found


def encoded(one: Encoding) -> EncodedText:
    return EncodedText(tuple(one.ids), tuple(one.type_ids))


def inputs_of(texts: Sequence[EncodedText], device: str) -> dict[str, Tensor]:
    """What BERT reads: int64 [B, longest] each, padded on the right."""
    rows = [one.ids for one in texts]
    return {
        "input_ids": padded(rows).to(device),
        "attention_mask": attention_of(rows).to(device),
        "token_type_ids": padded([one.segments for one in texts]).to(device),
    }
