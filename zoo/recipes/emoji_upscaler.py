"""Four times larger in one pass."""

from __future__ import annotations

from training.loop import Plan
from zoo.image.emoji_upscaling_export import UPSCALER_SEED, UPSCALER_STEPS, emoji_upscaler
from zoo.recipe import Recipe, run

RECIPE = Recipe(
    model="emoji-upscaler",
    plan=Plan(
        steps=UPSCALER_STEPS,
        learning_rate=1e-3,
        warmup=100,
        seed=UPSCALER_SEED,
        measure_every=200,
    ),
    prepare=emoji_upscaler,
)

if __name__ == "__main__":
    run(RECIPE)
