"""English to French and German with Bahdanau's attention, GRU to GRU."""

from __future__ import annotations

from training.loop import Plan
from zoo.recipe import Recipe, run
from zoo.translation.export import recurrent_translator
from zoo.translation.plan import SEED, STEPS

RECIPE = Recipe(
    model="translator-gru-attention",
    plan=Plan(steps=STEPS, learning_rate=1e-3, warmup=200, seed=SEED),
    prepare=lambda seed: recurrent_translator(attention=True, seed=seed),
)

if __name__ == "__main__":
    run(RECIPE)
