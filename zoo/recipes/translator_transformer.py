"""English to French and German, a small Transformer of Marian's class."""

from __future__ import annotations

from training.loop import Plan
from zoo.recipe import Recipe, run
from zoo.translation.export import marian_translator
from zoo.translation.plan import SEED, STEPS

RECIPE = Recipe(
    model="translator-transformer",
    plan=Plan(steps=STEPS, learning_rate=1e-3, warmup=400, seed=SEED),
    prepare=lambda seed: marian_translator(seed=seed),
)

if __name__ == "__main__":
    run(RECIPE)
