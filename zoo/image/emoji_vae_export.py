"""`emoji-vae` as a recipe wants it: data and model ready, and its export with its figures."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from training.loop import State
from zoo.data.emoji import PACKAGES, SHARE, emoji, said_of, scaled
from zoo.data.packages import SCIKIT_IMAGE
from zoo.data.photographs import photographs, tiles
from zoo.half_precision import round_to_half
from zoo.image.emoji_vae import (
    LatentPrior,
    VaeTrainee,
    decoded,
    latents_of,
    normalise_latents,
    prior_of,
    reconstruction,
)
from zoo.image.judging import SAID, distance, floor
from zoo.image.saving import LICENSE, parameters_of, save_component, write_grid
from zoo.model_page import Page, Shown, Table, write_page

SEED, STEPS = 11, 7000
SAMPLED = 600  # pictures of the prior
TRUNCATIONS = (1.0, 0.7)
LATENT = (4, 16, 16)


class EmojiVae(VaeTrainee):
    def export(self, folder: Path, state: State) -> None:
        normalise_latents(self.model, self._training_latents())
        round_to_half(self.model)
        save_component(self.model, folder)
        prior = prior_of(self._training_latents())
        save_file(
            {
                "mean": prior.mean.half().contiguous(),
                "components": prior.components.half().contiguous(),
                "residual": prior.residual.half().contiguous(),
            },
            folder / "latent_prior.safetensors",
        )
        self._draw(prior, folder)
        held_out = reconstruction(self.model, self.held_out.pixels)
        page = Page(
            model="emoji-vae",
            title="A variational autoencoder of emoji",
            summary=(
                "Encodes a 64x64 picture to 4x16x16 numbers, a twelfth, and decodes them again."
                " Latents are normal in mean and spread per channel (`scaling_factor` 1). Beside"
                " the weights stands a Gaussian of the training set's latents"
                f" (`latent_prior.safetensors`, {len(prior.components)} axes): sampling it gives"
                " the colours and masses of emoji, not their drawing, as a VAE of this kind does."
            ),
            license=LICENSE,
            packages=(*PACKAGES, SCIKIT_IMAGE),
            other_sources=("The photographs are for measuring only.",),
            held_out=(
                f"{said_of(self.held_out.pictures)}, {SHARE:.0%} of the emoji by the hash of their"
                " code points without skin tone and gender: both sets of art and all tones of one"
                f" emoji fall on one side. {said_of(self.training.pictures)} to train on."
                " Reconstructions are of the latents' means. PSNR in dB; SSIM with its paper's"
                " Gaussian window."
            ),
            tables=(self._reconstructions(), self._samples(prior)),
            parameters=parameters_of(self.model),
            planned_steps=STEPS,
            seed=SEED,
            headline={"psnr": held_out.psnr, "ssim": held_out.ssim},
            shown=(
                Shown("samples.png", "Held-out emoji, and what came back"),
                Shown("prior.png", "Sampled from the Gaussian of the latents, truncated to 0.7"),
                Shown("interpolation.png", "From one held-out emoji to another"),
            ),
        )
        write_page(page, state, folder)

    def _training_latents(self) -> Tensor:
        """Of the pictures without skin tones: four thousand are enough for a mean."""
        return latents_of(self.model, scaled(self.training.plain().pixels))

    def _reconstructions(self) -> Table:
        sets = {
            "emoji, held out": self.held_out.pixels,
            "emoji, trained on (every tenth)": self.training.pixels[::10],
        } | {
            f"photograph {name}, in squares of 64": tiles(pixels, 64)
            for name, pixels in photographs().items()
        }
        found = {name: reconstruction(self.model, pixels) for name, pixels in sets.items()}
        return Table(
            "Encoded and decoded.",
            ("pictures", "how many", "PSNR", "SSIM"),
            tuple((name, len(sets[name]), one.psnr, one.ssim) for name, one in found.items()),
        )

    def _samples(self, prior: LatentPrior) -> Table:
        references = scaled(self.held_out.pixels)
        rows = [
            (f"sampled, truncation {scale}", distance(self._sampled(prior, scale), references))
            for scale in TRUNCATIONS
        ]
        again = decoded(self.model, latents_of(self.model, references))
        return Table(
            f"Frechet distance to the held-out emoji, {SAID}.",
            ("pictures", "distance"),
            (
                *rows,
                ("held out, encoded and decoded", distance(again, references)),
                ("one half of the held-out pictures to the other", floor(self.held_out)),
            ),
        )

    def _sampled(self, prior: LatentPrior, truncation: float, count: int = SAMPLED) -> Tensor:
        flat = prior.sample(count, seed=1, truncation=truncation)
        return decoded(self.model, flat.reshape(-1, *LATENT))

    def _draw(self, prior: LatentPrior, folder: Path) -> None:
        plain = self.held_out.plain()
        shown = scaled(plain.pixels[:: len(plain) // 40][:40])
        latents = latents_of(self.model, shown)
        again = decoded(self.model, latents)
        rows = [
            part for pair in zip(shown.split(10), again.split(10), strict=True) for part in pair
        ]
        write_grid(torch.cat(rows), 10, folder / "samples.png")
        write_grid(self._sampled(prior, 0.7, 30), 10, folder / "prior.png")
        ways = torch.linspace(0, 1, 9)[:, None, None, None]
        walks = [
            decoded(self.model, latents[at] * (1 - ways) + latents[at + 1] * ways)
            for at in (0, 6, 12, 18)
        ]
        write_grid(torch.cat(walks), 9, folder / "interpolation.png")


def emoji_vae(seed: int) -> EmojiVae:
    found = emoji()
    return EmojiVae(found.part(held_out=False), found.part(held_out=True), seed)
