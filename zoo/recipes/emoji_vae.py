"""A variational autoencoder of emoji."""

from __future__ import annotations

from training.loop import Plan
from zoo.image.emoji_vae_export import SEED, STEPS, emoji_vae
from zoo.recipe import Recipe, run

RECIPE = Recipe(
    model="emoji-vae",
    plan=Plan(
        steps=STEPS,
        learning_rate=2e-3,
        warmup=100,
        seed=SEED,
        measure_every=250,
    ),
    prepare=emoji_vae,
)

if __name__ == "__main__":
    run(RECIPE)
