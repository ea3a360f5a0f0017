"""How far an open decoder is from reference logits, and how fast it is. Knows no file."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bestiary.garden.certificate import Parity, Speed
from deployments.kernels.certificate_reference import Reference
from deployments.kernels.decoder_session import DecoderSession
from deployments.kernels.prompt_session import PromptPart, PromptSession

CHUNK = 64  # tokens of the text at a time: as many rows of logits are in memory
PAST = 64  # tokens that a row holds when its decoding is timed
STEPS = 8  # of decoding, timed together
PROMPT = 256  # tokens, timed together
ROUNDS = 3  # after one that does not count
ENOUGH_S = 2.0  # for one number: slow models get fewer rounds

Logits = NDArray[np.float64]


class Read(Protocol):
    """Appends token ids [S] to a row that holds `past` tokens of the same text."""

    def __call__(
        self, ids: NDArray[np.int64], past: int, *, every: bool = True
    ) -> NDArray[np.float32]:
        """Logits at each token [S, vocabulary], or at the last one alone."""
        ...


def parity_of(read: Read, reference: Reference) -> Parity:
    """Of whoever reads the reference's text, as a prompt is read."""
    ids = reference.ids
    divergence, agreeing, ours, theirs = 0.0, 0, 0.0, 0.0
    for start in range(0, len(ids), CHUNK):
        part = ids[start : start + CHUNK]
        found = _log_softmax(read(part, start))
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
    return Speed(
        decode_1=_per_second(lambda: _decode(decoder, 1), STEPS),
        decode_16=_per_second(lambda: _decode(decoder, 16), 16 * STEPS),
        prefill=prefill_speed(read_by_decoder(decoder), decoder.max_length),
    )


def prefill_speed(read: Read, longest: int) -> float:
    """Tokens per second."""
    prompt = np.zeros(min(PROMPT, longest), np.int64)  # a token that every vocabulary has
    return _per_second(lambda: read(prompt, 0, every=False), len(prompt))


def read_by_decoder(decoder: DecoderSession) -> Read:
    def read(ids: NDArray[np.int64], past: int, *, every: bool = True) -> NDArray[np.float32]:
        return decoder.run(0, ids[np.newaxis], np.array([past], np.int32), every=every)

    return read


def read_by_prompt_session(prompts: PromptSession) -> Read:
    def read(ids: NDArray[np.int64], past: int, *, every: bool = True) -> NDArray[np.float32]:
        return prompts.read([PromptPart(0, ids, past)], every=every)

    return read


def _decode(decoder: DecoderSession, rows: int) -> None:
    column = np.ones((rows, 1), np.int64)
    past = min(PAST, decoder.max_length - STEPS)
    for step in range(STEPS):
        decoder.run(0, column, np.full(rows, past + step, np.int32))


def _per_second(run: Callable[[], object], tokens: int) -> float:
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
