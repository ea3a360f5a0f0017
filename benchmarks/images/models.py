"""The weights of the benchmark: the zoo's where they are installed, else random ones of its shapes.

Speed does not depend on which; quality does, and is only measured on trained ones. A folder holds
one sub-folder per model, laid out as diffusers lays them out.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bestiary.errors import BestiaryError
from bestiary.garden import Garden, InstalledModel
from bestiary.garden.card import Family, ModelCard, Source
from bestiary.garden.image_facts import DenoisingDefaults, ImageFacts
from bestiary.schemas.image import ImageFamily

ENCODER = "all-minilm-l6-v2"
UNCONDITIONAL = "emoji-diffusion"
TEXT = "emoji-text-to-image"
FAST = "emoji-text-to-image-fast"
ENLARGING = "emoji-super-resolution"
TOKENS = 24


@dataclass(frozen=True, slots=True)
class BenchmarkModel:
    model: InstalledModel
    trained: bool


def models(home: Path, scratch: Path) -> dict[str, BenchmarkModel]:
    """By card id. `emoji-text-to-image-fast` only where it is installed."""
    found: dict[str, BenchmarkModel] = {}
    for name in (UNCONDITIONAL, TEXT, ENLARGING, FAST):
        try:
            found[name] = BenchmarkModel(Garden(home).install(name), trained=True)
        except BestiaryError:
            if name in SHAPES:
                found[name] = BenchmarkModel(_random(name, scratch / name), trained=False)
    return found


def _random(name: str, folder: Path) -> InstalledModel:
    """Written by whoever comes first: the benchmark, before its contenders start."""
    write, facts = SHAPES[name]
    if not folder.exists():
        write(folder)
    weights = sum(path.stat().st_size for path in folder.rglob("*.safetensors"))
    card = ModelCard(
        id=name,
        family=Family.IMAGE,
        architecture=facts.architecture,
        title=f"{name}, random weights",
        parameters=max(1, weights // 4),
        context_length=TOKENS if facts.text_encoder else 0,
        license="none",
        provenance="random",
        sources=(Source(url=folder.as_uri()),),
        image=ImageFacts(
            family=ImageFamily.DIFFUSION,
            width=facts.side,
            height=facts.side,
            text_encoder=facts.text_encoder,
            scale=facts.scale,
            denoising=DenoisingDefaults(steps=20),
        ),
    )
    # Seeded alike: a name stands for the weights.
    return InstalledModel(card=card, path=folder, revision=f"random-{name}")


def _unconditional(folder: Path) -> None:
    from zoo.image.emoji_diffusion import untrained

    untrained(0).save_pretrained(folder / "unet")
    _latent_pipeline(folder, "UnconditionalLatentPipeline", "UNet2DModel")


def _text(folder: Path) -> None:
    from zoo.image.emoji_text_to_image import untrained

    untrained(0).save_pretrained(folder / "unet")
    _latent_pipeline(folder, "TextToImagePipeline", "UNet2DConditionModel")
    said = {"text_encoder": ENCODER, "max_tokens": TOKENS}
    (folder / "conditioning.json").write_text(json.dumps(said), encoding="utf-8")


def _latent_pipeline(folder: Path, pipeline: str, unet: str) -> None:
    """All that stands beside the UNet."""
    from zoo.image.emoji_vae import untrained
    from zoo.image.noising import scheduler_config
    from zoo.image.saving import save_scheduler, write_index

    untrained(0).save_pretrained(folder / "vae")
    save_scheduler(scheduler_config(pixels=False), folder / "scheduler")
    components = {"unet": unet, "vae": "AutoencoderKL", "scheduler": "DDIMScheduler"}
    write_index(folder, pipeline, components)


def _enlarging(folder: Path) -> None:
    import torch
    from diffusers import DDIMScheduler, DDPMPipeline, UNet2DModel

    torch.manual_seed(0)
    unet = UNet2DModel(
        sample_size=64,
        in_channels=6,
        out_channels=3,
        block_out_channels=(32, 48, 64),
        layers_per_block=1,
        down_block_types=("DownBlock2D",) * 3,
        up_block_types=("UpBlock2D",) * 3,
        norm_num_groups=8,
        add_attention=False,
    )
    scheduler = DDIMScheduler(prediction_type="v_prediction", clip_sample=False)
    DDPMPipeline(unet, scheduler).save_pretrained(folder)
    said = '{"factor": 4, "residual_scale": 0.2, "steps": 8}'
    (folder / "super_resolution.json").write_text(said, encoding="utf-8")


@dataclass(frozen=True, slots=True)
class _Shape:
    architecture: str
    side: int  # pixels
    text_encoder: str | None = None
    scale: int | None = None


SHAPES: dict[str, tuple[Callable[[Path], None], _Shape]] = {
    UNCONDITIONAL: (_unconditional, _Shape("UnconditionalLatentPipeline", 64)),
    TEXT: (_text, _Shape("TextToImagePipeline", 64, text_encoder=ENCODER)),
    ENLARGING: (_enlarging, _Shape("SuperResolutionPipeline", 64, scale=4)),
}
