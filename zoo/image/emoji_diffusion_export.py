"""`emoji-diffusion` and `emoji-faces` as recipes want them: data, model, export with figures."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import UNet2DModel
from torch import Tensor

from training.loop import State
from zoo.data.emoji import PACKAGES, EmojiSet, emoji, said_of, scaled
from zoo.half_precision import round_to_half
from zoo.image.emoji_diffusion import DiffusionTrainee, faces
from zoo.image.emoji_embedder import embedded
from zoo.image.emoji_latents import VAE, vae
from zoo.image.judging import SAID, distance, embedder, floor, shrunk
from zoo.image.noising import scheduler_config
from zoo.image.saving import (
    LICENSE,
    parameters_of,
    save_component,
    save_scheduler,
    write_grid,
    write_index,
)
from zoo.model_page import Page, Shown, Table, write_page
from zoo.recipe import ZOO

SEED, STEPS = 13, 3000
FACES_SEED, FACES_STEPS = 47, 800
SAMPLED = 192  # pictures of a Frechet distance
STEP_COUNTS = (25, 10)  # DDIM
WHOLE = "emoji-diffusion"


class EmojiDiffusion(DiffusionTrainee):
    name = WHOLE
    title = "Emoji out of noise"
    summary = (
        f"Unconditional diffusion of 64x64 emoji of all kinds, in the latents of `{VAE}`, with"
        " velocity prediction. Any sampler of diffusers fits; with a mask it fills holes, and from"
        " a noised picture it makes variations. Small: shapes and colours are those of emoji, many"
        " samples are of no emoji that there is."
    )
    other_sources: tuple[str, ...] = ()
    planned, seed = STEPS, SEED

    def export(self, folder: Path, state: State) -> None:
        round_to_half(self.model)
        save_component(self.model, folder / "unet")
        save_component(vae(), folder / "vae")
        save_scheduler(scheduler_config(pixels=False), folder / "scheduler")
        components = {"unet": "UNet2DModel", "vae": "AutoencoderKL", "scheduler": "DDIMScheduler"}
        write_index(folder, "UnconditionalLatentPipeline", components)
        made = {steps: self.samples(SAMPLED, 1, steps) for steps in STEP_COUNTS}
        best = made[STEP_COUNTS[0]]
        write_grid(best[:60], 12, folder / "samples.png")
        self._draw_nearest(best[:12], folder / "nearest.png")
        page = Page(
            model=self.name,
            title=self.title,
            summary=self.summary,
            license=LICENSE,
            packages=PACKAGES,
            other_sources=self.other_sources,
            held_out=(
                f"{said_of(self.held_out.pictures)} by the hash of the code points without skin"
                f" tone and gender; {said_of(self.training.pictures)} to train on. Distances are"
                f" of {SAMPLED} samples, which is few: compare them with each other only."
            ),
            tables=(self._distances(made),),
            parameters=parameters_of(self.model, vae()),
            planned_steps=self.planned,
            seed=self.seed,
            headline={"frechet_distance": distance(best, scaled(self.held_out.pixels))},
            shown=(
                Shown("samples.png", f"Samples, {STEP_COUNTS[0]} DDIM steps, not picked"),
                Shown("nearest.png", "Samples, and below each the training picture nearest to it"),
            ),
        )
        write_page(page, state, folder)

    def _distances(self, made: dict[int, Tensor]) -> Table:
        references = scaled(self.held_out.pixels)
        rows = [
            (f"{steps} DDIM steps", distance(pictures, references), self._loss_if(steps))
            for steps, pictures in made.items()
        ]
        return Table(
            f"Frechet distance to the held-out pictures, {SAID}; and the weighed velocity error"
            " on held-out pictures at fixed noise.",
            ("pictures", "distance", "held-out loss"),
            (*rows, ("one half of the held-out pictures to the other", floor(self.held_out), "")),
        )

    def _loss_if(self, steps: int) -> float | str:
        """Said once: it does not depend on the sampler."""
        if steps != STEP_COUNTS[0]:
            return ""
        with torch.no_grad():
            return self.measure()["loss"]

    def _draw_nearest(self, made: Tensor, path: Path) -> None:
        """So that one sees what is new and what was learned by heart."""
        pictures = scaled(self.training.pixels)
        known = embedded(embedder(), shrunk(pictures))
        nearest = (embedded(embedder(), shrunk(made)) @ known.T).argmax(1)
        write_grid(torch.cat((made, pictures[nearest])), len(made), path)


class EmojiFaces(EmojiDiffusion):
    name = "emoji-faces"
    title = "Emoji faces out of noise"
    summary = (
        "Face synthesis: unconditional diffusion of 64x64 faces of smileys, people, cats and"
        " monkeys, gone on from `emoji-diffusion`. The faces are drawn ones, as no package here"
        " ships enough photographs of faces under clear terms: scikit-image's `lfw_subset` has 100"
        " of 25x25 pixels, of people who were not asked."
    )
    planned, seed = FACES_STEPS, FACES_SEED


def emoji_diffusion(seed: int) -> EmojiDiffusion:
    found = emoji()
    return EmojiDiffusion(found.part(held_out=False), found.part(held_out=True), seed)


def emoji_faces(seed: int) -> EmojiFaces:
    found: EmojiSet = faces(emoji())
    start = UNet2DModel.from_pretrained(ZOO / WHOLE / "unet", torch_dtype=torch.float32)
    return EmojiFaces(found.part(held_out=False), found.part(held_out=True), seed, start)
