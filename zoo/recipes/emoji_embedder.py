"""Emoji into the space of MiniLM's sentences: the judge of the other image models."""

from __future__ import annotations

from training.loop import Plan
from zoo.image.emoji_embedder_export import SEED, STEPS, emoji_embedder
from zoo.recipe import Recipe, run

RECIPE = Recipe(
    model="emoji-embedder",
    plan=Plan(
        steps=STEPS,
        learning_rate=2e-3,
        warmup=100,
        seed=SEED,
        measure_every=100,
        weight_decay=0.05,
    ),
    prepare=emoji_embedder,
)

if __name__ == "__main__":
    run(RECIPE)
