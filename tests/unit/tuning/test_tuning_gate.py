"""What passes the gate, and what is said of it."""

from __future__ import annotations

import pytest

from bestiary.schemas.tuning import Evaluation, Gate
from services.tuning.gate import judged


def verdict(gate: Gate, **changed: float | None) -> Evaluation:
    values = {"loss": 1.0, "exact_match": 0.9, "general": 12.0, **changed}
    return judged(
        gate,
        examples=50,
        base={"loss": 2.0, "exact_match": 0.1},
        tuned={name: values[name] for name in ("loss", "exact_match")},
        general_base=None if values["general"] is None else 10.0,
        general_tuned=values["general"],
    )


def test_a_better_loss_and_little_forgetting_pass() -> None:
    found = verdict(Gate())
    assert found.passed
    assert all(reason.startswith("held") for reason in found.reasons)


@pytest.mark.parametrize(
    ("gate", "changed", "said"),
    [
        (Gate(), {"loss": 2.1}, "loss must be better than the base's: 2 -> 2.1"),
        (Gate(), {"general": 25.0}, "2.50 times, must stay within 2 times"),
        (Gate(at_least={"exact_match": 0.95}), {}, "exact_match 0.9 must be at least 0.95"),
        (Gate(at_most={"loss": 0.5}), {}, "loss 1 must be at most 0.5"),
        (Gate(improves=("exact_match",)), {"exact_match": 0.1}, "exact_match must be better"),
        (Gate(at_least={"f1": 0.5}), {}, "f1 (not measured; there are loss, exact_match)"),
        (Gate(), {"loss": float("nan")}, "loss must be better"),
    ],
)
def test_what_falls_short_is_named(gate: Gate, changed: dict[str, float], said: str) -> None:
    found = verdict(gate, **changed)
    assert not found.passed
    assert any(reason.startswith("failed") and said in reason for reason in found.reasons)


def test_models_of_no_text_forget_nothing() -> None:
    assert verdict(Gate(), general=None).passed
