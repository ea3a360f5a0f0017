"""Small random diffusion models of every kind, saved as diffusers saves them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
    UNet2DModel,
)
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.processors import TemplateProcessing
from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast

from bestiary.garden.card import Family, ModelCard, Source
from bestiary.garden.image_facts import DenoisingDefaults, ImageFacts
from bestiary.garden.installed import InstalledModel
from bestiary.schemas.image import EncodedImage, ImageFamily, Sampler

SIDE = 16  # pixels of what these models make
TOKENS = 12
STATES = 32
LETTERS = [chr(code) for code in range(97, 123)]


def unconditional(folder: Path, **options: object) -> InstalledModel:
    """In pixels; predicts noise."""
    torch.manual_seed(0)
    unet = UNet2DModel(**_unet(3, 3) | options)
    DDPMPipeline(unet, DDPMScheduler(clip_sample=True)).save_pretrained(folder)
    return installed(folder, "small-ddpm", "DDPMPipeline")


def in_latents(folder: Path) -> InstalledModel:
    """A VAE, CLIP's reader, and a UNet that predicts velocities: Stable Diffusion's layout."""
    torch.manual_seed(1)
    tokenizer = letters()
    clip = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=STATES,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=TOKENS,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=1,
        )
    )
    unet = UNet2DConditionModel(**_unet(4, 4) | _crossed(), cross_attention_dim=STATES)
    scheduler = DDIMScheduler(
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        clip_sample=False,
        timestep_spacing="trailing",
        steps_offset=1,
    )
    StableDiffusionPipeline(
        vae=vae(),
        text_encoder=clip,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return installed(folder, "small-text", "StableDiffusionPipeline", context_length=TOKENS)


def enlarging(folder: Path) -> InstalledModel:
    """Four times as large, in pixels, what is to be added to the bicubic picture."""
    torch.manual_seed(2)
    unet = UNet2DModel(**_unet(6, 3))
    DDPMPipeline(unet, DDPMScheduler(clip_sample=False)).save_pretrained(folder)
    said = '{"factor": 4, "residual_scale": 0.5, "steps": 3}'
    (folder / "super_resolution.json").write_text(said, encoding="utf-8")
    return installed(folder, "small-upscaler", "SuperResolutionPipeline", scale=4)


def vae() -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 16),
        latent_channels=4,
        norm_num_groups=4,
        sample_size=SIDE,
        scaling_factor=0.7,
    )


def letters() -> PreTrainedTokenizerFast:
    """A token for each letter, begun and ended and padded as CLIP's are."""
    names = ["<s>", "</s>", "Ġ", *LETTERS]
    tokenizer = Tokenizer(BPE({name: place for place, name in enumerate(names)}, []))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="</s>",
        model_max_length=TOKENS,
    )


def installed(
    folder: Path,
    name: str,
    architecture: str,
    *,
    context_length: int = 0,
    scale: int | None = None,
    resizable: bool = True,
) -> InstalledModel:
    card = ModelCard(
        id=name,
        family=Family.IMAGE,
        architecture=architecture,
        title=name,
        parameters=1000,
        context_length=context_length,
        license="MIT",
        provenance="random",
        sources=(Source(url=folder.as_uri()),),
        image=ImageFacts(
            family=ImageFamily.DIFFUSION,
            width=SIDE,
            height=SIDE,
            resizable=resizable,
            size_step=4,
            scale=scale,
            denoising=DenoisingDefaults(steps=4, sampler=Sampler.DDIM),
        ),
    )
    return InstalledModel(card=card, path=folder, revision=name)


def picture(seed: int, width: int = SIDE, height: int = SIDE) -> EncodedImage:
    """Noise, as PNG."""
    random = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return as_png(random)


def as_png(pixels: NDArray[np.uint8]) -> EncodedImage:
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "PNG")
    return EncodedImage(data=written.getvalue())


def pixels_of(data: bytes) -> NDArray[np.uint8]:
    return np.array(Image.open(io.BytesIO(data)))


def _unet(channels_in: int, channels_out: int) -> dict[str, object]:
    return {
        "sample_size": SIDE if channels_out == 3 else SIDE // 2,
        "in_channels": channels_in,
        "out_channels": channels_out,
        "layers_per_block": 1,
        "block_out_channels": (16, 32),
        "norm_num_groups": 8,
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
        "attention_head_dim": 8,
    }


def _crossed() -> dict[str, object]:
    return {
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    }
