"""Every encoder-decoder's two graphs against torch, on small random models: logits, attention."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bestiary.errors import KernelError
from deployments.kernels.seq2seq_build import build_seq2seq
from deployments.kernels.seq2seq_session import Seq2SeqSession
from tests.unit.kernels.rows import tokens
from tests.unit.kernels.small_seq2seqs import (
    LONGEST,
    TRANSFORMERS,
    bart,
    gated_t5,
    opened,
    padded,
    recurrent,
    t5,
)

SOURCES = [tokens(length, seed=length) for length in (7, 40, 1, 23)]
TARGETS = np.array([tokens(30, seed=100 + row) for row in range(len(SOURCES))])
Steps = tuple[NDArray[np.float32], NDArray[np.float32] | None]


def run(session: Seq2SeqSession, sources: list[list[int]], targets: NDArray[np.int64]) -> Steps:
    """Logits [texts, T, vocabulary] and attention [texts, T, S], one token at a time."""
    rows = session.batch(1, len(sources))
    for source in session.encode(sources):
        rows.add(source)
    longest = max(map(len, sources))
    logits, looked = [], []
    for step in range(targets.shape[1]):
        out = rows.step(targets[:, step : step + 1])
        logits.append(out.logits[:, 0].copy())
        if out.attention is not None:
            looked.append(out.attention[:, 0, :longest].copy())
    return np.stack(logits, 1), np.stack(looked, 1) if looked else None


def reference(model: Any, sources: list[list[int]], targets: NDArray[np.int64]) -> Steps:
    ids, mask = padded(sources)
    with torch.no_grad():
        out = model(
            input_ids=ids,
            attention_mask=mask,
            decoder_input_ids=torch.tensor(targets),
            output_attentions=True,
        )
    return out.logits.numpy(), out.cross_attentions[-1].mean(1).numpy()


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_logits_and_attention_equal_those_of_transformers(name: str, tmp_path: Path) -> None:
    model = TRANSFORMERS[name](tmp_path / "model")
    session = opened(tmp_path / "model", tmp_path / "build")
    logits, looked = run(session, SOURCES, TARGETS)
    expected, attention = reference(model, SOURCES, TARGETS)
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    np.testing.assert_allclose(looked, attention, atol=1e-5)


@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize("tied", [True, False])
def test_the_recurrent_one_equals_its_torch_module(
    attention: bool, tied: bool, tmp_path: Path
) -> None:
    model = recurrent(tmp_path / "model", attention=attention, tied=tied)
    logits, looked = run(opened(tmp_path / "model", tmp_path / "build"), SOURCES, TARGETS)
    ids, mask = padded(SOURCES)
    with torch.no_grad():
        expected, weights = model(ids, mask.sum(1), torch.tensor(TARGETS))
    np.testing.assert_allclose(logits, expected.numpy(), atol=1e-4)
    if weights is None:
        assert looked is None
    else:
        np.testing.assert_allclose(looked, weights.numpy(), atol=1e-5)


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_int8_is_close(name: str, tmp_path: Path) -> None:
    model = TRANSFORMERS[name](tmp_path / "model")
    logits, _ = run(opened(tmp_path / "model", tmp_path / "build", "int8"), SOURCES, TARGETS)
    expected, _ = reference(model, SOURCES, TARGETS)
    assert divergence(expected, logits) < 2e-2


@pytest.mark.parametrize("attention", [True, False])
def test_int8_of_the_recurrent_one_is_close(attention: bool, tmp_path: Path) -> None:
    model = recurrent(tmp_path / "model", attention=attention)
    session = opened(tmp_path / "model", tmp_path / "build", "int8")
    logits, _ = run(session, SOURCES, TARGETS)
    ids, mask = padded(SOURCES)
    with torch.no_grad():
        expected, _ = model(ids, mask.sum(1), torch.tensor(TARGETS))
    assert divergence(expected.numpy(), logits) < 2e-2


def divergence(expected: NDArray[np.float32], got: NDArray[np.float32]) -> float:
    """Mean KL in nats."""
    p, q = (torch.tensor(x).log_softmax(-1) for x in (expected, got))
    return float((p.exp() * (p - q)).sum(-1).mean())


def test_attention_looks_at_no_padding(tmp_path: Path) -> None:
    bart(tmp_path / "model")
    session = opened(tmp_path / "model", tmp_path / "build")
    rows = session.batch(1, len(SOURCES))
    for source in session.encode(SOURCES):
        rows.add(source)
    looked = rows.step(TARGETS[:, :1]).attention
    assert looked is not None
    for row, source in zip(looked[:, 0], SOURCES, strict=True):
        assert row[: len(source)].sum() == pytest.approx(1, abs=1e-5)
        assert not row[len(source) :].any()


def test_beams_of_a_text_see_the_same_source(tmp_path: Path) -> None:
    """Two beams of one text are two texts with the same source."""
    gated_t5(tmp_path / "model")
    session = opened(tmp_path / "model", tmp_path / "build")
    beams, texts = session.batch(2, 2), session.batch(1, 4)
    for source in session.encode(SOURCES[:2]):
        beams.add(source)
        texts.add(source)
        texts.add(source)
    for step in range(4):
        ids = TARGETS[:, step : step + 1]
        wide = beams.step(ids.reshape(2, 2)).logits.reshape(4, -1)
        np.testing.assert_allclose(wide, texts.step(ids).logits[:, 0], atol=1e-5)


def test_a_text_that_leaves_and_one_that_comes_change_nothing_for_others(tmp_path: Path) -> None:
    t5(tmp_path / "model")
    session = opened(tmp_path / "model", tmp_path / "build")
    alone = [run(session, [source], TARGETS[:1, :9])[0][0] for source in SOURCES]
    rows = session.batch(1, 3)
    sources = session.encode(SOURCES)
    present, done = [], {}
    steps: dict[int, int] = {}

    def step() -> None:
        ids = np.array([[TARGETS[0, steps[text]]] for text in present])
        logits = rows.step(ids).logits
        for place, text in enumerate(present):
            np.testing.assert_allclose(logits[place, 0], alone[text][steps[text]], atol=1e-5)
            steps[text] += 1
            done[text] = steps[text]

    def come(text: int) -> None:
        rows.add(sources[text])
        present.append(text)
        steps[text] = 0

    come(2)  # of one token
    step()
    come(0)
    come(3)
    step()
    step()
    rows.remove(0)
    present[0] = present.pop()
    step()
    come(1)  # longer than any before: the buffers grow
    step()
    step()
    assert done == {2: 3, 0: 5, 3: 5, 1: 2}


def test_reordered_beams_go_on_from_where_the_others_were(tmp_path: Path) -> None:
    bart(tmp_path / "model")
    session = opened(tmp_path / "model", tmp_path / "build")
    first, second = TARGETS[0, :4], TARGETS[1, :4]
    rows = session.batch(2, 1)
    rows.add(session.encode([SOURCES[0]])[0])
    for step in range(3):
        rows.step(np.array([[first[step], second[step]]]))
    rows.reorder(0, [1, 1])
    logits = rows.step(np.array([[first[3], second[3]]])).logits[0].copy()
    crossed = np.array([[*second[:3], first[3]], second])
    expected, _ = run(session, [SOURCES[0]] * 2, crossed)
    np.testing.assert_allclose(logits, expected[:, 3], atol=1e-5)


def test_a_text_over_the_positions_is_refused(tmp_path: Path) -> None:
    bart(tmp_path / "model")
    session = opened(tmp_path / "model", tmp_path / "build")
    with pytest.raises(ValueError, match="the longest is 64"):
        session.encode([tokens(LONGEST + 1)])


def test_an_unknown_architecture_is_told_the_known_ones(tmp_path: Path) -> None:
    bart(tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    config.write_text(config.read_text().replace("BartForConditional", "PegasusForConditional"))
    (tmp_path / "build").mkdir()
    with pytest.raises(KernelError, match="known: T5ForConditionalGeneration, Bart"):
        build_seq2seq(tmp_path / "model", tmp_path / "build", "fp32")
