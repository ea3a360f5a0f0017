"""An installed card -> a running service: which room opens which kind of model.

Rooms are imported when they are asked for, so that a replica loads the libraries of its own kind
only. Each has an `opening.py` with

    prepare(model, args, home, progress)    builds and certifies its graphs
    open_service(model, args, home)         an `ImageService`
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from bestiary.errors import ProfileInvalid
from bestiary.garden import Garden, InstalledModel
from bestiary.profile.applications import ReplicaArgs
from bestiary.profile.models import ImageEngine
from bestiary.progress import Progress
from bestiary.schemas.image import ImageFamily
from deployments.image.service import ImageService
from deployments.kernels.image_runtime import image_precision
from deployments.kernels.providers import ProviderChoice, choose_providers, machine_probe

ROOMS: Mapping[ImageFamily, str] = {
    ImageFamily.VAE: "deployments.image.vae.opening",
    ImageFamily.GAN: "deployments.image.gan.opening",
    ImageFamily.AUTOREGRESSIVE: "deployments.image.autoregressive.opening",
    ImageFamily.DIFFUSION: "deployments.image.diffusion.opening",
}


class Room(Protocol):
    """A module."""

    def prepare(
        self, model: InstalledModel, args: ReplicaArgs, home: Path, progress: Progress
    ) -> None: ...

    def open_service(
        self, model: InstalledModel, args: ReplicaArgs, home: Path
    ) -> ImageService: ...


def prepare_model(args: ReplicaArgs, home: Path, progress: Progress) -> InstalledModel:
    """Installs the card, builds its graphs and certifies them: a replica's start is only a load.

    Raises GardenError, CardNotInstalled and KernelError.
    """
    model = Garden(home).install(args.card.id, progress)
    room_of(args).prepare(model, args, home, progress)
    return model


def open_service(args: ReplicaArgs, home: Path) -> ImageService:
    """Raises CardNotInstalled where `prepare_model` was not run before, and KernelError."""
    model = Garden(home).installed(args.card.id)
    return room_of(args).open_service(model, args, home)


def room_of(args: ReplicaArgs) -> Room:
    if args.card.image is None:
        raise ProfileInvalid(f"{args.card.id} is of family {args.card.family}, not image")
    return cast("Room", importlib.import_module(ROOMS[args.card.image.family]))


@dataclass(frozen=True, slots=True)
class Kernels:
    """What of this machine runs a model's graphs, and in which precision."""

    precision: str
    providers: ProviderChoice


def kernels_of(args: ReplicaArgs) -> Kernels:
    """Raises KernelError for a precision that does not run here."""
    providers = choose_providers(machine_probe())
    named, facts = engine_options(args).precision, args.card.image
    codes = facts is not None and facts.family is ImageFamily.AUTOREGRESSIVE
    return Kernels(image_precision(named, providers, chooses_codes=codes), providers)


def engine_options(args: ReplicaArgs) -> ImageEngine:
    """The profile's image section, with its defaults where there is none."""
    return args.image or ImageEngine()
