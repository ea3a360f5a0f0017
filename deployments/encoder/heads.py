"""What may be asked of an encoder, one head each: a batch of texts in, one answer a text out.

Inputs that ask the same head share a run. Heads know arrays; what they mean to a caller is
`service.py`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from bestiary.schemas.encoder import MAX_TOP_K
from deployments.kernels.encoder_names import Output
from deployments.kernels.encoder_session import EncoderText

Floats = NDArray[np.float32]
Answer_co = TypeVar("Answer_co", covariant=True)


class Encoder(Protocol):
    """An open encoder: `deployments.kernels.encoder_session` behind it."""

    def run(self, texts: Sequence[EncoderText], output: Output) -> Floats: ...

    def attention(self, text: EncoderText) -> Floats: ...


class Head(Protocol[Answer_co]):
    """Equal heads may share a run, so a head is hashable by what it asks."""

    def answer(self, encoder: Encoder, texts: Sequence[EncoderText]) -> Sequence[Answer_co]:
        """One answer for each text, in their order."""
        ...

    def __hash__(self) -> int: ...


class Words(NamedTuple):
    """The likeliest words of one masked token, best first."""

    ids: NDArray[np.int64]  # [MAX_TOP_K], or the vocabulary where that is smaller
    probabilities: Floats


@dataclass(frozen=True, slots=True)
class TextOutput:
    """Whatever a graph gives once a text: a pooled vector or logits."""

    output: Output

    def answer(self, encoder: Encoder, texts: Sequence[EncoderText]) -> Sequence[Floats]:
        return list(encoder.run(texts, self.output))


@dataclass(frozen=True, slots=True)
class TokenOutput:
    """Whatever a graph gives for each token: [tokens, ...] of each text, without padding."""

    output: Output

    def answer(self, encoder: Encoder, texts: Sequence[EncoderText]) -> Sequence[Floats]:
        rows = encoder.run(texts, self.output)
        # Copies: a view of one short text would keep the whole batch in memory.
        return [row[: len(text.ids)].copy() for row, text in zip(rows, texts, strict=True)]


@dataclass(frozen=True, slots=True)
class MaskedWord:
    """What may stand at the asked token of each text."""

    def answer(self, encoder: Encoder, texts: Sequence[EncoderText]) -> Sequence[Words]:
        return [_likeliest(logits) for logits in encoder.run(texts, Output.WORDS)]


@dataclass(frozen=True, slots=True)
class Attention:
    """[layers, heads, tokens, tokens] of each text, on a graph that is slower: one at a time."""

    def answer(self, encoder: Encoder, texts: Sequence[EncoderText]) -> Sequence[Floats]:
        return [encoder.attention(text) for text in texts]


def softmax(logits: Floats) -> Floats:
    """Over the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: Floats = powers / powers.sum(axis=-1, keepdims=True)
    return shares


def sigmoid(logits: Floats) -> Floats:
    # As a tanh: no overflow, whatever the sign.
    shares: Floats = np.float32(0.5) * (1 + np.tanh(np.float32(0.5) * logits))
    return shares


def _likeliest(logits: Floats) -> Words:
    count = min(MAX_TOP_K, len(logits))
    best = np.argpartition(logits, -count)[-count:]
    best = best[np.argsort(-logits[best], kind="stable")]
    return Words(best, softmax(logits)[best])
