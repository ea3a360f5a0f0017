"""Emoji of all kinds out of noise."""

from __future__ import annotations

from training.loop import Plan
from zoo.image.emoji_diffusion_export import SEED, STEPS, emoji_diffusion
from zoo.recipe import Recipe, run

RECIPE = Recipe(
    model="emoji-diffusion",
    plan=Plan(
        steps=STEPS,
        learning_rate=1e-3,
        warmup=200,
        seed=SEED,
        measure_every=100,
        average=0.998,
    ),
    prepare=emoji_diffusion,
)

if __name__ == "__main__":
    run(RECIPE)
