"""Emoji from words, conditioned on MiniLM's token states."""

from __future__ import annotations

from zoo.image.emoji_text_to_image_export import SEED, TRAINING_STEPS, emoji_text_to_image
from zoo.recipe import Recipe, run
from zoo.training import Plan

RECIPE = Recipe(
    model="emoji-text-to-image",
    plan=Plan(
        steps=TRAINING_STEPS,
        learning_rate=1e-3,
        warmup=150,
        seed=SEED,
        measure_every=200,
        average=0.998,
    ),
    prepare=emoji_text_to_image,
)

if __name__ == "__main__":
    run(RECIPE)
