"""How far an open encoder-decoder is from reference logits, and how fast it is. Knows no file."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from bestiary.garden.certificate import Parity, Speed
from deployments.kernels.seq2seq_reference import Seq2SeqReference
from deployments.kernels.seq2seq_session import Seq2SeqSession

STEPS = 8  # of decoding, timed together
SOURCE = 64  # tokens of a source, when speed is measured
ROUNDS = 3  # after one that does not count
ENOUGH_S = 2.0  # for one number: slow models get fewer rounds

Scores = NDArray[np.float64]


def parity_of(session: Seq2SeqSession, reference: Seq2SeqReference) -> Parity:
    """All passages in one batch, every token predicted from torch's own ones before it."""
    rows = session.batch(1, len(reference.sources))
    for source in session.encode(reference.sources):
        rows.add(source)
    count, steps = reference.inputs.shape
    divergence, agreeing, ours, theirs = 0.0, 0, 0.0, 0.0
    for step in range(steps):
        found = _log_softmax(rows.step(reference.inputs[:, step : step + 1]).logits[:, 0])
        expected = _log_softmax(reference.logits[:, step])
        divergence += float((np.exp(expected) * (expected - found)).sum())
        agreeing += int((expected.argmax(-1) == found.argmax(-1)).sum())
        places = np.arange(count), reference.targets[:, step]
        ours -= float(found[places].sum())
        theirs -= float(expected[places].sum())
    tokens = count * steps
    return Parity(
        kl=max(divergence / tokens, 0.0),  # float32 logits of equals differ in the last bits
        top1=agreeing / tokens,
        perplexity=float(np.exp(ours / tokens)),
        reference_perplexity=float(np.exp(theirs / tokens)),
    )


def speed_of(session: Seq2SeqSession) -> Speed:
    """`prefill`: source tokens that the encoder reads."""
    tokens = min(SOURCE, session.max_source) if session.max_source else SOURCE
    source = np.ones(tokens, np.int64).tolist()
    return Speed(
        decode_1=_per_second(lambda: _decode(session, source, 1), STEPS),
        decode_16=_per_second(lambda: _decode(session, source, 16), 16 * STEPS),
        prefill=_per_second(lambda: _seconds(lambda: session.encode([source])), tokens),
    )


def _decode(session: Seq2SeqSession, source: Sequence[int], texts: int) -> float:
    """Seconds of the steps alone."""
    rows = session.batch(1, texts)
    for one in session.encode([source] * texts):
        rows.add(one)
    column = np.ones((texts, 1), np.int64)
    steps = min(STEPS, session.max_target)
    return _seconds(lambda: [rows.step(column) for _ in range(steps)])


def _seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _per_second(timed: Callable[[], float], tokens: int) -> float:
    timed()
    taken: list[float] = []
    while len(taken) < ROUNDS and sum(taken) < ENOUGH_S:
        taken.append(timed())
    return tokens / statistics.median(taken)


def _log_softmax(logits: NDArray[np.float32]) -> Scores:
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    normalised: Scores = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return normalised
