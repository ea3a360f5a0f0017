"""diffusers in torch, as one would write it: pipelines where diffusers has them.

Runs in any environment with torch, diffusers and transformers; imports nothing of Bestiary. Takes a
list of wishes of one task, one step count and one guidance, and makes their pictures in one batch.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
    UNet2DModel,
)
from PIL import Image
from transformers import AutoTokenizer, BertModel

from benchmarks.images.wire import SIDE, Wish, opened

STRENGTH = 0.8
TOKENS = 24


class TorchPipelines:
    def __init__(self, unconditional: Path, text: Path, enlarging: Path, encoder: Path) -> None:
        kind = _Latents if (unconditional / "vae").is_dir() else _Pixels
        self._unconditional = kind(unconditional)
        parts = _text_parts(text, encoder)
        self._text = _quiet(StableDiffusionPipeline(**parts))
        self._from_image = _quiet(StableDiffusionImg2ImgPipeline(**parts))
        self._inpaint = _quiet(StableDiffusionInpaintPipeline(**parts))
        self._enlarging = _Enlarging(enlarging)

    @torch.inference_mode()
    def make(self, wishes: Sequence[Wish]) -> list[bytes]:
        """PNGs."""
        first = wishes[0]
        generators = [torch.Generator("cpu").manual_seed(one.seed) for one in wishes]
        if first.task == "unconditional":
            made = self._unconditional(generators, first.steps)
        elif first.task == "super-resolution":
            made = self._enlarging([opened(one.image) for one in wishes], generators, first.steps)
        else:
            made = self._prompted(wishes, generators)
        return [_png(image) for image in made]

    def _prompted(
        self, wishes: Sequence[Wish], generators: list[torch.Generator]
    ) -> list[Image.Image]:
        first = wishes[0]
        said: dict[str, Any] = {
            "prompt": [one.prompt for one in wishes],
            "generator": generators,
            "num_inference_steps": first.steps,
            "guidance_scale": first.guidance,
        }
        if first.task == "text-to-image":
            return self._text(**said, width=SIDE, height=SIDE).images
        images = [opened(one.image) for one in wishes]
        if first.task == "image-to-image":
            return self._from_image(**said, image=images, strength=STRENGTH).images
        masks = [opened(one.mask) for one in wishes]
        return self._inpaint(
            **said, image=images, mask_image=masks, width=SIDE, height=SIDE, strength=1.0
        ).images


class _Pixels:
    def __init__(self, folder: Path) -> None:
        pipeline = DDPMPipeline.from_pretrained(str(folder))
        pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
        self._pipeline = _quiet(pipeline)

    def __call__(self, generators: list[torch.Generator], steps: int) -> list[Image.Image]:
        return self._pipeline(
            batch_size=len(generators), generator=generators, num_inference_steps=steps
        ).images


class _Latents:
    """diffusers' own pipeline of this kind wants another autoencoder: its parts in a loop."""

    def __init__(self, folder: Path) -> None:
        self._unet = UNet2DModel.from_pretrained(folder / "unet", torch_dtype=torch.float32).eval()
        self._vae = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float32).eval()
        self._scheduler = DDIMScheduler.from_pretrained(folder / "scheduler")

    def __call__(self, generators: list[torch.Generator], steps: int) -> list[Image.Image]:
        side, channels = self._unet.config.sample_size, self._unet.config.in_channels
        sample = torch.cat(
            [torch.randn(1, channels, side, side, generator=one) for one in generators]
        )
        self._scheduler.set_timesteps(steps)
        for timestep in self._scheduler.timesteps:
            predicted = self._unet(sample, timestep, return_dict=False)[0]
            sample = self._scheduler.step(predicted, timestep, sample, return_dict=False)[0]
        decoded = self._vae.decode(sample / self._vae.config.scaling_factor, return_dict=False)[0]
        return _images(decoded)


class _Enlarging:
    """diffusers has no pipeline of this kind: its parts in a loop."""

    def __init__(self, folder: Path) -> None:
        self._unet = UNet2DModel.from_pretrained(folder / "unet", torch_dtype=torch.float32).eval()
        self._scheduler = DDIMScheduler.from_pretrained(folder / "scheduler")
        said = json.loads((folder / "super_resolution.json").read_text(encoding="utf-8"))
        self._factor, self._scale = said["factor"], said["residual_scale"]

    def __call__(
        self, images: list[Image.Image], generators: list[torch.Generator], steps: int
    ) -> list[Image.Image]:
        import numpy as np

        low = torch.stack(
            [torch.from_numpy(np.array(one)).permute(2, 0, 1) / 127.5 - 1 for one in images]
        )
        up = torch.nn.functional.interpolate(
            low, scale_factor=float(self._factor), mode="bicubic", align_corners=False
        )
        sample = torch.cat([torch.randn(1, *up.shape[1:], generator=one) for one in generators])
        self._scheduler.set_timesteps(steps)
        for timestep in self._scheduler.timesteps:
            seen = torch.cat([sample, up], dim=1)
            predicted = self._unet(seen, timestep, return_dict=False)[0]
            sample = self._scheduler.step(predicted, timestep, sample, return_dict=False)[0]
        return _images(up + self._scale * sample)


def _images(values: torch.Tensor) -> list[Image.Image]:
    """Of [N, 3, H, W] in -1..1."""
    made = (values.clamp(-1, 1) + 1) * 127.5
    return [Image.fromarray(one.permute(1, 2, 0).round().to(torch.uint8).numpy()) for one in made]


def _text_parts(folder: Path, encoder: Path) -> dict[str, Any]:
    reader = BertModel.from_pretrained(encoder, torch_dtype=torch.float32).eval()
    reader.config.use_attention_mask = True
    tokenizer = AutoTokenizer.from_pretrained(encoder, model_max_length=TOKENS)
    unet = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32)
    vae = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float32)
    return {
        "vae": vae.eval(),
        "text_encoder": reader,
        "tokenizer": tokenizer,
        "unet": unet.eval(),
        "scheduler": DDIMScheduler.from_pretrained(folder / "scheduler"),
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }


def _quiet(pipeline: Any) -> Any:
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _png(image: Image.Image) -> bytes:
    written = io.BytesIO()
    image.save(written, "PNG")
    return written.getvalue()
