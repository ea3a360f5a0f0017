"""Emoji from words in four steps: a student of emoji-text-to-image."""

from __future__ import annotations

from training.loop import Plan
from zoo.image.emoji_fast_export import SEED, TRAINING_STEPS, emoji_fast
from zoo.recipe import Recipe, run

RECIPE = Recipe(
    model="emoji-text-to-image-fast",
    plan=Plan(
        steps=TRAINING_STEPS,
        learning_rate=3e-4,
        warmup=50,
        seed=SEED,
        measure_every=100,
        average=0.995,
    ),
    prepare=emoji_fast,
)

if __name__ == "__main__":
    run(RECIPE)
