"""How far an open decoder is from reference logits, and how fast it is. Knows no file."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bestiary.garden.certificate import Parity, Speed
from deployments.kernels.certificate_reference import Reference
from deployments.kernels.decoder_session import DecoderSession

CHUNK = 64  # tokens of the text at a time: as many rows of logits are in memory
PAST = 64  # tokens that a row holds when its decoding is timed
STEPS = 8  # of decoding, timed together
PROMPT = 256  # tokens, timed together
ROUNDS = 3  # after one that does not count
ENOUGH_S = 2.0  # for one number: slow models get fewer rounds

Logits = NDArray[np.float64]


def parity_of(decoder: DecoderSession, reference: Reference) -> Parity:
    """Reads the reference's text, as a prompt is read."""
    ids = reference.ids
    divergence, agreeing, ours, theirs = 0.0, 0, 0.0, 0.0
    for start in range(0, len(ids), CHUNK):
        part = ids[start : start + CHUNK]
        logits = decoder.run(0, part[np.newaxis], np.array([start], np.int32), every=True)
        found = _log_softmax(logits)
        expected = _log_softmax(reference.logits[start : start + CHUNK])
        divergence += float((np.exp(expected) * (expected - found)).sum())
        agreeing += int((expected.argmax(-1) == found.argmax(-1)).sum())
        following = ids[start + 1 : start + CHUNK + 1]  # of the last token nobody knows it
        places = np.arange(len(following)), following
        ours -= float(found[places].sum())
        theirs -= float(expected[places].sum())
    predicted = max(len(ids) - 1, 1)
    return Parity(
        kl=max(divergence / len(ids), 0.0),  # float32 logits of equals differ in the last bits
        top1=agreeing / len(ids),
        perplexity=float(np.exp(ours / predicted)),
        reference_perplexity=float(np.exp(theirs / predicted)),
    )


def speed_of(decoder: DecoderSession) -> Speed:
    """Needs 16 rows; what they hold does not matter."""
    prompt = min(PROMPT, decoder.max_length)
    return Speed(
        decode_1=_per_second(lambda: _decode(decoder, 1), STEPS),
        decode_16=_per_second(lambda: _decode(decoder, 16), 16 * STEPS),
        prefill=_per_second(lambda: _prefill(decoder, prompt), prompt),
    )


def _decode(decoder: DecoderSession, rows: int) -> None:
    column = np.ones((rows, 1), np.int64)
    past = min(PAST, decoder.max_length - STEPS)
    for step in range(STEPS):
        decoder.run(0, column, np.full(rows, past + step, np.int32))


def _prefill(decoder: DecoderSession, tokens: int) -> None:
    prompt = np.arange(tokens, dtype=np.int64)[np.newaxis] % decoder.vocabulary
    decoder.run(0, prompt, np.zeros(1, np.int32))


def _per_second(run: Callable[[], None], tokens: int) -> float:
    run()
    taken: list[float] = []
    while len(taken) < ROUNDS and sum(taken) < ENOUGH_S:
        started = time.perf_counter()
        run()
        taken.append(time.perf_counter() - started)
    return tokens / statistics.median(taken)


def _log_softmax(logits: NDArray[np.float32]) -> Logits:
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    normalised: Logits = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return normalised
