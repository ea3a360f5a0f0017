"""Faces out of noise, gone on from emoji-diffusion."""

from __future__ import annotations

from training.loop import Plan
from zoo.image.emoji_diffusion_export import FACES_SEED, FACES_STEPS, emoji_faces
from zoo.recipe import Recipe, run

RECIPE = Recipe(
    model="emoji-faces",
    plan=Plan(
        steps=FACES_STEPS,
        learning_rate=5e-4,
        warmup=50,
        seed=FACES_SEED,
        measure_every=100,
        average=0.995,
    ),
    prepare=emoji_faces,
)

if __name__ == "__main__":
    run(RECIPE)
