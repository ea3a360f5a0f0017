"""Handwritten digits, pixel by pixel."""

from __future__ import annotations

from training.loop import Plan
from zoo.image.digit_pixels_export import SEED, STEPS, digit_pixels
from zoo.recipe import Recipe, run

RECIPE = Recipe(
    model="digits-autoregressive",
    plan=Plan(
        steps=STEPS,
        learning_rate=1.5e-3,
        warmup=100,
        seed=SEED,
        measure_every=100,
        weight_decay=0.05,
        average=0.998,
    ),
    prepare=digit_pixels,
)

if __name__ == "__main__":
    run(RECIPE)
