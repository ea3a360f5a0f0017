"""`emoji-upscaler` and `emoji-super-resolution` as recipes want them, side by side on one table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from training.architectures.residual_upscaler import downsampled
from training.loop import State
from zoo.data.emoji import PACKAGES, EmojiSet, emoji, said_of, scaled
from zoo.data.packages import SCIKIT_IMAGE
from zoo.data.photographs import photographs
from zoo.half_precision import round_to_half
from zoo.image.emoji_upscaling import (
    FACTOR,
    RESIDUAL_SCALE,
    STEPS,
    Fidelity,
    SuperResolutionTrainee,
    Upscale,
    UpscalerTrainee,
    bicubic,
    fidelity,
)
from zoo.image.noising import scheduler_config
from zoo.image.saving import (
    LICENSE,
    parameters_of,
    save_component,
    save_scheduler,
    write_grid,
    write_index,
    write_json,
)
from zoo.model_page import Page, Shown, Table, write_page

UPSCALER_SEED, UPSCALER_STEPS = 37, 3000
DIFFUSION_SEED, DIFFUSION_STEPS = 41, 1000
STEP_COUNTS = (2, STEPS)
MEASURED = 80  # emoji
SHOWN = 10
OTHER_SOURCES = ("The photographs are for measuring only: nothing was trained on them.",)


class EmojiUpscaler(UpscalerTrainee):
    def export(self, folder: Path, state: State) -> None:
        round_to_half(self.model)
        self.model.save_pretrained(folder, torch.float16)
        draw(self.upscale, self.held_out, folder)
        page = Page(
            model="emoji-upscaler",
            title="Four times larger in one pass",
            summary=(
                "A residual convolutional network over bicubic interpolation, for drawings with"
                " clean edges; any size. It was trained on crops of emoji only."
                " `emoji-super-resolution` does the same by diffusion."
            ),
            license=LICENSE,
            packages=(*PACKAGES, SCIKIT_IMAGE),
            other_sources=OTHER_SOURCES,
            held_out=held_out_words(self.held_out, self.training),
            tables=(compared({"this model": self.upscale}, self.held_out),),
            parameters=parameters_of(self.model),
            planned_steps=UPSCALER_STEPS,
            seed=UPSCALER_SEED,
            headline=gains(self.upscale, self.held_out),
            shown=SHOWN_PICTURES,
        )
        write_page(page, state, folder)


class EmojiSuperResolution(SuperResolutionTrainee):
    def export(self, folder: Path, state: State) -> None:
        round_to_half(self.model)
        save_component(self.model, folder / "unet")
        save_scheduler(scheduler_config(pixels=False), folder / "scheduler")
        write_index(
            folder,
            "SuperResolutionPipeline",
            {"unet": "UNet2DModel", "scheduler": "DDIMScheduler"},
        )
        write_json(
            {"factor": FACTOR, "residual_scale": RESIDUAL_SCALE, "steps": STEPS},
            folder / "super_resolution.json",
        )
        draw(self.upscale, self.held_out, folder)
        ways = {f"this model, {steps} DDIM steps": self._in(steps) for steps in STEP_COUNTS}
        page = Page(
            model="emoji-super-resolution",
            title="Four times larger by diffusion",
            summary=(
                "Diffuses what bicubic interpolation lacks, with the interpolated picture on the"
                " UNet's other channels; any size that is a multiple of 8 afterwards. Few steps"
                " are nearer to the original, more are sharper. Trained on crops of emoji only."
                " Trained for minutes: `emoji-upscaler` is much better, and on photographs this"
                " model is not yet above bicubic."
            ),
            license=LICENSE,
            packages=(*PACKAGES, SCIKIT_IMAGE),
            other_sources=OTHER_SOURCES,
            held_out=held_out_words(self.held_out, self.training),
            tables=(compared(ways, self.held_out),),
            parameters=parameters_of(self.model),
            planned_steps=DIFFUSION_STEPS,
            seed=DIFFUSION_SEED,
            headline=gains(self.upscale, self.held_out),
            shown=SHOWN_PICTURES,
        )
        write_page(page, state, folder)

    def _in(self, steps: int) -> Upscale:
        return lambda low: self.upscale(low, steps=steps)


SHOWN_PICTURES = (
    Shown("samples.png", "Held-out emoji: 16x16, bicubic, this model, the original"),
    Shown("photograph.png", "A piece of a photograph: small, bicubic, this model, the original"),
)


def held_out_words(held_out: EmojiSet, training: EmojiSet) -> str:
    return (
        f"{said_of(held_out.pictures)} by the hash of the code points without skin tone and"
        f" gender, of which every so many-th, {MEASURED} in all; {said_of(training.pictures)} to"
        " train on. Low resolutions are made by antialiased bicubic downsampling. PSNR in dB over"
        " all colours, SSIM with its paper's window, both without cutting edges off."
    )


def compared(ways: Mapping[str, Upscale], held_out: EmojiSet) -> Table:
    """A row per set and way, bicubic first."""
    sets = measured_sets(held_out)
    rows: list[tuple[str, str, float, float]] = []
    for name, pixels in sets.items():
        for way, upscale in ({"bicubic": bicubic} | dict(ways)).items():
            found: Fidelity = fidelity(upscale, pixels)
            rows.append((name, way, found.psnr, found.ssim))
    return Table(f"{FACTOR}x.", ("pictures", "by", "PSNR", "SSIM"), tuple(rows))


def measured_sets(held_out: EmojiSet) -> dict[str, Tensor]:
    """Held-out emoji, and the middle of each photograph."""
    pixels = held_out.pixels[:: max(1, len(held_out) // MEASURED)][:MEASURED]
    photos = {f"photograph {name}": centre(one) for name, one in photographs().items()}
    return {"emoji, held out": pixels} | photos


def gains(upscale: Upscale, held_out: EmojiSet) -> dict[str, float]:
    """PSNR, and by how much it is above bicubic's: on emoji, and the mean over photographs."""
    emoji_pixels, *photos = measured_sets(held_out).values()
    own, base = fidelity(upscale, emoji_pixels), fidelity(bicubic, emoji_pixels)
    above = [fidelity(upscale, one).psnr - fidelity(bicubic, one).psnr for one in photos]
    return {
        "psnr": own.psnr,
        "ssim": own.ssim,
        "psnr_above_bicubic": own.psnr - base.psnr,
        "psnr_above_bicubic_on_photographs": sum(above) / len(above),
    }


def centre(pixels: Tensor, side: int = 256) -> Tensor:
    """The middle square: a whole photograph takes diffusion minutes here."""
    top, left = ((length - side) // 2 for length in pixels.shape[-2:])
    return pixels[..., top : top + side, left : left + side]


def draw(upscale: Upscale, held_out: EmojiSet, folder: Path) -> None:
    plain = held_out.plain()
    pixels = plain.pixels[:: len(plain) // SHOWN][:SHOWN]
    write_grid(four_rows(upscale, pixels), SHOWN, folder / "samples.png")
    piece = centre(photographs()["astronaut"], 192)
    write_grid(four_rows(upscale, piece), 4, folder / "photograph.png")


def four_rows(upscale: Upscale, pixels: Tensor) -> Tensor:
    high = scaled(pixels)
    low = downsampled(high, FACTOR)
    blocks = low.repeat_interleave(FACTOR, -1).repeat_interleave(FACTOR, -2)
    return torch.cat((blocks, bicubic(low), upscale(low), high))


def emoji_upscaler(seed: int) -> EmojiUpscaler:
    found = emoji()
    return EmojiUpscaler(found.part(held_out=False), found.part(held_out=True), seed)


def emoji_super_resolution(seed: int) -> EmojiSuperResolution:
    found = emoji()
    return EmojiSuperResolution(found.part(held_out=False), found.part(held_out=True), seed)
