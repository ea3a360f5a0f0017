"""Handwritten digits: generator and discriminator."""

from __future__ import annotations

from training.loop import Plan
from zoo.image.digit_gan_export import SEED, STEPS, digit_gan
from zoo.recipe import Recipe, run

RECIPE = Recipe(
    model="digits-gan",
    plan=Plan(
        steps=STEPS,
        learning_rate=5e-4,
        warmup=50,
        seed=SEED,
        measure_every=200,
        weight_decay=0.0,
        clip=10.0,
        cooldown=0.2,
        bfloat16=False,
        betas=(0.0, 0.99),
        average=0.999,
    ),
    prepare=digit_gan,
)

if __name__ == "__main__":
    run(RECIPE)
