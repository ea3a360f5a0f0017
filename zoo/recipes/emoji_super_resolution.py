"""Four times larger by diffusion."""

from __future__ import annotations

from training.loop import Plan
from zoo.image.emoji_upscaling_export import DIFFUSION_SEED, DIFFUSION_STEPS, emoji_super_resolution
from zoo.recipe import Recipe, run

RECIPE = Recipe(
    model="emoji-super-resolution",
    plan=Plan(
        steps=DIFFUSION_STEPS,
        learning_rate=1e-3,
        warmup=100,
        seed=DIFFUSION_SEED,
        measure_every=200,
        average=0.998,
    ),
    prepare=emoji_super_resolution,
)

if __name__ == "__main__":
    run(RECIPE)
