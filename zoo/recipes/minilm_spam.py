"""Spam or ham, a head for all-MiniLM-L6-v2."""

from __future__ import annotations

from training.loop import Plan
from zoo.encoder.spam import SEED, STEPS, spam
from zoo.recipe import Recipe, run

RECIPE = Recipe(
    model="minilm-spam",
    plan=Plan(steps=STEPS, learning_rate=2e-3, warmup=50, seed=SEED, measure_every=100),
    prepare=spam,
)

if __name__ == "__main__":
    run(RECIPE)
