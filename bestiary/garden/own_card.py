"""A card for a user's own GGUF file or safetensors folder, from what the files say."""

from __future__ import annotations

import re
from pathlib import Path

from bestiary.errors import GardenError
from bestiary.garden.card import Family, ModelCard, Source, WeightsFormat
from bestiary.garden.checksum import sha256_of
from bestiary.garden.hf_folder import HfFolder
from bestiary.garden.own_image_card import INDEX, image_card_for
from bestiary.garden.sources.source import fetched_from

UNKNOWN_LICENSE = "unknown"


def card_for(path: Path, card_id: str | None, tiers: tuple[str, ...], license: str) -> ModelCard:
    """Raises GardenError for what is neither. Hashes the weights, so it takes a while."""
    path = path.expanduser().resolve()
    if (path / INDEX).is_file():
        return image_card_for(path, card_id or _slug(path.name), license)
    if path.is_dir():
        return _folder_card(path, card_id, tiers, license)
    if path.is_file() and path.suffix == ".gguf":
        return _gguf_card(path, card_id, tiers, license)
    what = "is no GGUF file or folder" if path.exists() else "does not exist"
    raise GardenError(f"{path} {what}; give a .gguf file or a folder with safetensors")


def _gguf_card(path: Path, card_id: str | None, tiers: tuple[str, ...], license: str) -> ModelCard:
    from bestiary.garden.gguf.convert import Conversion  # slow to import, see builder.py

    model = Conversion(path).describe()
    stated = model.license or UNKNOWN_LICENSE
    return ModelCard(
        id=card_id or _slug(path.stem),
        family=Family.TEXT,
        architecture=model.architecture,
        title=model.title,
        tiers=tiers,
        parameters=model.parameters,
        instruct=model.instruct,
        context_length=model.context_length,
        license=stated if license == UNKNOWN_LICENSE else license,
        provenance=f"the user's own file {path}",
        sources=(
            Source(
                url=path.as_uri(),
                format=WeightsFormat.GGUF,
                files={path.name: sha256_of(path)},
            ),
        ),
    )


def _folder_card(
    path: Path, card_id: str | None, tiers: tuple[str, ...], license: str
) -> ModelCard:
    model = HfFolder(path)
    source = Source(url=path.as_uri())
    names = fetched_from(path, source, owned=False).names
    encoder = model.family is Family.ENCODER
    return ModelCard(
        id=card_id or _slug(path.name),
        family=model.family,
        architecture=model.architecture,
        title=path.name,
        tiers=tiers,
        parameters=model.parameters,
        instruct=model.has_chat_template and not encoder,
        context_length=model.context_length,
        dimensions=model.hidden_size if encoder else None,
        license=license,
        provenance=f"the user's own folder {path}",
        sources=(
            source.model_copy(update={"files": {name: sha256_of(path / name) for name in names}}),
        ),
    )


def _slug(name: str) -> str:
    """A card id from a file name. Raises GardenError where nothing is left of it."""
    slug = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("._-")
    if not slug:
        raise GardenError(f"no card id can be made from {name!r}; give one")
    return slug
