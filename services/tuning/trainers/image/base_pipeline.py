"""The base model's networks, frozen and in float32, as diffusers saved them.

Two kinds of folder: Stable Diffusion's, and the zoo's, whose prompts another card's encoder reads.
Raises UnsupportedParameter for a pipeline that asks more of a UNet than latents, a time and a
prompt: inpainting, SDXL and what computes with pixels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor

from bestiary.errors import UnsupportedParameter
from bestiary.garden import InstalledModel
from bestiary.garden.image_facts import DenoisingDefaults
from training.noising import TARGETS

INDEX = "model_index.json"
UNET, VAE, SCHEDULER = "unet", "vae", "scheduler/scheduler_config.json"
READ_BY_THE_TIME = (None, "text")  # what a UNet may add to its time: nothing, or the prompt
FLOW = "FlowMatch"


@dataclass(frozen=True)
class BasePipeline:
    unet: UNet2DConditionModel
    vae: AutoencoderKL
    scheduler: Mapping[str, object]  # its config
    width: int  # pixels of what it makes
    height: int
    denoising: DenoisingDefaults
    device: str

    @torch.no_grad()  # type: ignore[untyped-decorator]  # torch is not followed
    def latents_of(self, pixels: Tensor) -> Tensor:
        """Float [N, 3, H, W] in [-1, 1] -> [N, C, h, w], spread about one: the means."""
        config = self.vae.config
        mean = self.vae.encode(pixels.to(self.device)).latent_dist.mean
        found: Tensor = (mean - (config.shift_factor or 0.0)) * config.scaling_factor
        return found.cpu()


def base_pipeline(model: InstalledModel, device: str) -> BasePipeline:
    index = _json(model.path / INDEX)
    _refuse(model, index)
    facts = model.card.image
    unet = UNet2DConditionModel.from_pretrained(model.path / UNET, torch_dtype=torch.float32)
    vae = AutoencoderKL.from_pretrained(model.path / VAE, torch_dtype=torch.float32)
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    return BasePipeline(
        unet=unet.to(device).requires_grad_(False),
        vae=vae.to(device).eval().requires_grad_(False),
        scheduler=_json(model.path / SCHEDULER),
        width=facts.width if facts else unet.config.sample_size * factor,
        height=facts.height if facts else unet.config.sample_size * factor,
        denoising=facts.denoising if facts else DenoisingDefaults(),
        device=device,
    )


def _refuse(model: InstalledModel, index: Mapping[str, object]) -> None:
    missing = [name for name in (UNET, VAE) if name not in index]
    if missing:
        raise UnsupportedParameter(
            f"{model.card.id} is tuned by {UNET} and {VAE}, and has no {' and no '.join(missing)};"
            " take a latent text-to-image model as the base",
            "model",
        )
    unet, scheduler = _json(model.path / UNET / "config.json"), _json(model.path / SCHEDULER)
    vae = _json(model.path / VAE / "config.json")
    reasons = {
        f"its UNet is a {unet.get('_class_name')}": (
            unet.get("_class_name") != UNet2DConditionModel.__name__
        ),
        f"its UNet reads {unet.get('addition_embed_type')} beside the prompt": (
            unet.get("addition_embed_type") not in READ_BY_THE_TIME
        ),
        "its UNet reads a mask or a picture beside the latents": (
            unet.get("in_channels") != vae.get("latent_channels")
        ),
        f"its noise scheduler is {scheduler.get('_class_name')}": (
            str(scheduler.get("_class_name")).startswith(FLOW)
        ),
        f"its UNet predicts {scheduler.get('prediction_type')}": (
            scheduler.get("prediction_type", "epsilon") not in TARGETS
        ),
    }
    found = [reason for reason, holds in reasons.items() if holds]
    if found:
        raise UnsupportedParameter(
            f"{model.card.id} cannot be tuned from captioned pictures: {'; '.join(found)}", "model"
        )


def _json(path: Path) -> dict[str, object]:
    content: dict[str, object] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return content
