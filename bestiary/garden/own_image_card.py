"""A card for a user's own diffusion pipeline, saved by diffusers, from what its files say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bestiary.errors import GardenError
from bestiary.garden.card import Family, ModelCard, Source, WeightsFormat
from bestiary.garden.checksum import sha256_of
from bestiary.garden.hf_folder import parameters_of
from bestiary.garden.image_facts import DenoisingDefaults, ImageFacts
from bestiary.garden.image_folder import ImageFolder
from bestiary.garden.sources.source import fetched_from
from bestiary.schemas.image import ImageFamily, Sampler

INDEX = "model_index.json"
TEXT_GUIDANCE = 7.5  # StableDiffusionPipeline's
SIZE_STEP = 8
FLOW = "FlowMatch"


def image_card_for(path: Path, card_id: str, license: str) -> ModelCard:
    """Raises GardenError for a pipeline that cannot be served."""
    folder = ImageFolder(path)
    if "unet" not in folder.components:
        raise GardenError(f"{path} is a {folder.architecture}; pipelines with a `unet` are served")
    unet = _json(path / "unet" / "config.json")
    side = _side(unet, path)
    clip = path / "text_encoder" / "config.json"
    source = Source(url=path.as_uri(), format=WeightsFormat.DIFFUSERS)
    names = fetched_from(path, source, owned=False).names
    files = {name: sha256_of(path / name) for name in names}
    weights = [path / name for name in names if name.endswith(".safetensors")]
    return ModelCard(
        id=card_id,
        family=Family.IMAGE,
        architecture=folder.architecture,
        title=path.name,
        parameters=sum(map(parameters_of, weights)),
        context_length=_json(clip)["max_position_embeddings"] if clip.is_file() else 0,
        license=license,
        provenance=f"the user's own folder {path}",
        sources=(source.model_copy(update={"files": files}),),
        image=ImageFacts(
            family=ImageFamily.DIFFUSION,
            width=side,
            height=side,
            resizable=True,
            size_step=SIZE_STEP,
            denoising=DenoisingDefaults(
                sampler=_sampler(path), guidance_scale=TEXT_GUIDANCE if clip.is_file() else 1.0
            ),
        ),
    )


def _sampler(path: Path) -> Sampler:
    name = str(_json(path / "scheduler" / "scheduler_config.json").get("_class_name", ""))
    return Sampler.FLOW_EULER if name.startswith(FLOW) else Sampler.DPM_SOLVER


def _side(unet: dict[str, Any], path: Path) -> int:
    size = unet.get("sample_size")
    if not isinstance(size, int):
        raise GardenError(f"{path}/unet/config.json says no sample_size; give it in a card")
    vae = path / "vae" / "config.json"
    if not vae.is_file():
        return size
    halvings = len(_json(vae)["block_out_channels"]) - 1
    return int(size * 2**halvings)


def _json(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise GardenError(f"{path} cannot be read: {error}") from error
    return found
