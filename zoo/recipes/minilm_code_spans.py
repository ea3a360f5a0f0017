"""Code names in technical English, a head for all-MiniLM-L6-v2."""

from __future__ import annotations

from training.loop import Plan
from zoo.encoder.code_spans import SEED, STEPS, code_spans
from zoo.recipe import Recipe, run

RECIPE = Recipe(
    model="minilm-code-spans",
    plan=Plan(steps=STEPS, learning_rate=2e-3, warmup=50, seed=SEED, measure_every=100),
    prepare=code_spans,
)

if __name__ == "__main__":
    run(RECIPE)
