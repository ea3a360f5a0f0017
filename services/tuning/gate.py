"""Whether a tuned model may be published: the spec's conditions against what was measured. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from bestiary.schemas.tuning import Evaluation, Gate

LESS_IS_BETTER = frozenset({"loss", "perplexity"})


def judged(
    gate: Gate,
    *,
    examples: int,
    base: Mapping[str, float],
    tuned: Mapping[str, float],
    general_base: float | None,
    general_tuned: float | None,
) -> Evaluation:
    """The evaluation with the gate's verdict, condition by condition."""
    verdicts = [
        *_bounds(gate, tuned),
        *_improvements(gate, base, tuned),
        *_forgetting(gate, general_base, general_tuned),
    ]
    return Evaluation(
        examples=examples,
        base=dict(base),
        tuned=dict(tuned),
        general_base=general_base,
        general_tuned=general_tuned,
        passed=all(held for held, _ in verdicts),
        reasons=tuple(f"{'held' if held else 'failed'}: {reason}" for held, reason in verdicts),
    )


def _bounds(gate: Gate, tuned: Mapping[str, float]) -> Iterator[tuple[bool, str]]:
    for name, least in gate.at_least.items():
        value = tuned.get(name, math.nan)
        yield value >= least, f"{name} {_shown(tuned, name)} must be at least {least:g}"
    for name, most in gate.at_most.items():
        value = tuned.get(name, math.nan)
        yield value <= most, f"{name} {_shown(tuned, name)} must be at most {most:g}"


def _improvements(
    gate: Gate, base: Mapping[str, float], tuned: Mapping[str, float]
) -> Iterator[tuple[bool, str]]:
    for name in gate.improves:
        before, after = base.get(name, math.nan), tuned.get(name, math.nan)
        better = after < before if name in LESS_IS_BETTER else after > before
        yield (
            better,
            f"{name} must be better than the base's: {_shown(base, name)} -> {_shown(tuned, name)}",
        )


def _forgetting(gate: Gate, base: float | None, tuned: float | None) -> Iterator[tuple[bool, str]]:
    if gate.max_forgetting is None or base is None or tuned is None:
        return
    ratio = tuned / base
    yield (
        ratio <= gate.max_forgetting,
        f"perplexity on general text {base:.2f} -> {tuned:.2f}, {ratio:.2f} times, "
        f"must stay within {gate.max_forgetting:g} times",
    )


def _shown(metrics: Mapping[str, float], name: str) -> str:
    if name in metrics:
        return f"{metrics[name]:.4g}"
    return f"(not measured; there are {', '.join(metrics) or 'none'})"
