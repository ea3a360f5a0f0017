"""How far an open encoder is from its reference, and how fast it is. Knows no file."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bestiary.garden.encoder_certificate import EncoderParity, EncoderSpeed, HeadParity
from deployments.kernels.encoder_names import Output
from deployments.kernels.encoder_probe import Probe
from deployments.kernels.encoder_reference import Reference, texts_of
from deployments.kernels.encoder_session import EncoderSession, EncoderText

ROUNDS = 3  # after one that does not count
ENOUGH_S = 2.0  # for one number: slow models get fewer rounds
BATCH = 8  # texts whose outputs are in memory at once
LARGE_BATCH = 32

Floats = NDArray[np.float32]


def parity_of(encoder: EncoderSession, reference: Reference) -> EncoderParity:
    """Texts of unequal length share batches, as they do when the model serves."""
    probe = reference.probe
    embeddings = np.concatenate(_runs(encoder, probe.sentences, encoder.pooling))
    errors = 1 - (embeddings.astype(np.float64) * reference.embeddings).sum(axis=1)
    return EncoderParity(
        mean_cosine_error=max(float(errors.mean()), 0.0),  # of equals it is a last bit
        max_cosine_error=max(float(errors.max()), 0.0),
        heads={
            _words_of(output): _head_parity(_rows(encoder, output, probe), expected)
            for output, expected in reference.heads.items()
        },
    )


def speed_of(encoder: EncoderSession, probe: Probe) -> EncoderSpeed:
    return EncoderSpeed(
        batch_1=_per_second(encoder, probe.sentences, 1),
        batch_32=_per_second(encoder, probe.sentences, LARGE_BATCH),
    )


def _words_of(output: Output) -> str:
    return output.replace("_", " ")


def _rows(encoder: EncoderSession, output: Output, probe: Probe) -> Floats:
    texts = texts_of(output, probe)
    rows = [row for run in _runs(encoder, texts, output) for row in run]
    if output is Output.TOKENS:
        rows = [one for row, text in zip(rows, texts, strict=True) for one in row[: len(text.ids)]]
    return np.stack(rows)


def _runs(encoder: EncoderSession, texts: Sequence[EncoderText], output: Output) -> list[Floats]:
    return [
        encoder.run(texts[start : start + BATCH], output) for start in range(0, len(texts), BATCH)
    ]


def _head_parity(found: Floats, expected: Floats) -> HeadParity:
    shift = np.abs(_probabilities(found) - _probabilities(expected)).sum(axis=-1) / 2
    return HeadParity(
        rows=len(found),
        max_error=float(np.abs(found - expected).max()),
        mean_shift=float(shift.mean()),
        top1=float((found.argmax(axis=-1) == expected.argmax(axis=-1)).mean()),
    )


def _probabilities(logits: Floats) -> NDArray[np.float64]:
    """[rows, choices]; of a single logit its own and the rest's."""
    wide = logits.astype(np.float64)
    if wide.shape[-1] == 1:
        wide = np.concatenate([wide, np.zeros_like(wide)], axis=-1)
    powers = np.exp(wide - wide.max(axis=-1, keepdims=True))
    shares: NDArray[np.float64] = powers / powers.sum(axis=-1, keepdims=True)
    return shares


def _per_second(encoder: EncoderSession, texts: Sequence[EncoderText], batch: int) -> float:
    """By length, so that little is padding: as the engine forms its batches."""
    ordered = sorted(texts, key=lambda text: len(text.ids))
    taken: list[float] = []
    while len(taken) < ROUNDS + 1 and sum(taken) < ENOUGH_S:
        started = time.perf_counter()
        for start in range(0, len(ordered), batch):
            encoder.run(ordered[start : start + batch], Output.MEAN)
        taken.append(time.perf_counter() - started)
    return len(texts) / statistics.median(taken[1:] or taken)
