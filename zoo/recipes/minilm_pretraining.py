"""MLM and NSP heads for all-MiniLM-L6-v2, so that it fills masks and judges next sentences."""

from __future__ import annotations

from training.loop import Plan
from zoo.encoder.pretraining_export import SEED, STEPS, pretraining
from zoo.recipe import Recipe, run

RECIPE = Recipe(
    model="minilm-pretraining",
    plan=Plan(steps=STEPS, learning_rate=2e-3, warmup=50, seed=SEED, measure_every=100),
    prepare=pretraining,
)

if __name__ == "__main__":
    run(RECIPE)
