"""Emoji from words, conditioned on MiniLM's token states."""

from __future__ import annotations

from training.loop import Plan
from zoo.image.emoji_text_to_image_export import SEED, TRAINING_STEPS, emoji_text_to_image
from zoo.recipe import Recipe, run

RECIPE = Recipe(
    model="emoji-text-to-image",
    plan=Plan(
        steps=TRAINING_STEPS,
        learning_rate=8e-4,
        warmup=150,
        seed=SEED,
        measure_every=500,
        average=0.999,
    ),
    prepare=emoji_text_to_image,
)

if __name__ == "__main__":
    run(RECIPE)
