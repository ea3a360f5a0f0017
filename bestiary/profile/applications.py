"""Profile -> Serve applications. The one builder: the laptop and KubeRay run what it returns.

An application is named after its deployment in the profile and is built by
`<import_path>(args)`, where `args` is plain JSON that the family's own `app.py`
validates back into `ReplicaArgs` or `GatewayArgs`. The profile is the composition
root: nothing here imports `services` or `deployments`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Protocol, TypeVar

from pydantic import ValidationError

from bestiary.errors import CardNotInstalled, ProfileInvalid
from bestiary.garden.card import Family, ModelCard
from bestiary.profile.models import (
    CardRequirement,
    Deployment,
    EncoderEngine,
    ImageEngine,
    InstalledCard,
    Profile,
    Queue,
    Resources,
    Scaling,
    Seq2SeqEngine,
    TextEngine,
)
from bestiary.progress import Progress
from bestiary.schemas.base import Frozen
from bestiary.schemas.text import Adapter

GATEWAY = "gateway"
GATEWAY_IMPORT_PATH = "services.gateway.app:build"
TUNING = "tuning"
TUNING_IMPORT_PATH = "services.tuning.app:build"
FAMILY_IMPORT_PATHS = {
    Family.TEXT: "deployments.text.app:build",
    Family.ENCODER: "deployments.encoder.app:build",
    Family.SEQ2SEQ: "deployments.seq2seq.app:build",
    Family.IMAGE: "deployments.image.app:build",
}


class CardLookup(Protocol):
    """What the builder asks of the garden."""

    def card(self, card_id: str) -> ModelCard:
        """Raises ModelNotFound."""
        ...

    def installed_card(self, requirement: CardRequirement) -> ModelCard:
        """Raises CardNotInstalled."""
        ...


Arguments = TypeVar("Arguments", bound=Frozen)


class ReplicaArgs(Frozen):
    """Everything one model deployment is built from."""

    deployment: str
    card: ModelCard
    resources: Resources
    scaling: Scaling
    queue: Queue
    text: TextEngine | None = None
    encoder: EncoderEngine | None = None
    seq2seq: Seq2SeqEngine | None = None
    image: ImageEngine | None = None


class ServedModel(Frozen):
    """A deployment that runs, and a card that it serves."""

    deployment: str
    family: Family
    card: ModelCard
    adapter: Adapter | None = None  # that makes the deployment's own model that of the card


class GatewayArgs(Frozen):
    """Everything the gateway is built from."""

    profile: Profile
    served: tuple[ServedModel, ...]
    absent: dict[str, str] = {}  # deployment -> why it does not run


class TuningArgs(Frozen):
    """Everything the tuning service is built from."""

    profile: Profile
    served: tuple[ServedModel, ...]


class ApplicationSpec(Frozen):
    """One Serve application; `route_prefix` None: reached through handles only."""

    name: str
    import_path: str
    route_prefix: str | None
    args: dict[str, object]


def arguments(kind: type[Arguments], args: Mapping[str, object], whose: str) -> Arguments:
    """What an application was handed as JSON. Raises ProfileInvalid that says `whose` it is not."""
    try:
        return kind.model_validate(args)
    except ValidationError as error:
        raise ProfileInvalid(f"not the arguments of {whose}: {error}") from error


def prepare(spec: ApplicationSpec, progress: Progress) -> None:
    """Everything slow that an application needs before it starts: weights, graphs, migrations.

    Each `app.py` says how, in a `prepare(args, progress)` beside its `build(args)`.
    """
    importlib.import_module(spec.import_path.split(":")[0]).prepare(spec.args, progress)


def built(spec: ApplicationSpec) -> object:
    """What Serve runs: a `serve.Application`."""
    module, function = spec.import_path.split(":")
    application: object = getattr(importlib.import_module(module), function)(spec.args)
    return application


def applications(profile: Profile, garden: CardLookup) -> tuple[ApplicationSpec, ...]:
    """The models' applications in the profile's order, then the services', the gateway last."""
    served: list[ServedModel] = []
    absent: dict[str, str] = {}
    specs: list[ApplicationSpec] = []
    for name, deployment in profile.deployments.items():
        try:
            card = _card_of(deployment, garden)
        except CardNotInstalled as error:
            absent[name] = str(error)
            continue
        served.append(ServedModel(deployment=name, family=deployment.family, card=card))
        specs.append(model_application(name, deployment, card))
    if profile.tuning is not None:
        tuning = TuningArgs(profile=profile, served=tuple(served))
        specs.append(_of_service(TUNING, TUNING_IMPORT_PATH, None, tuning))
    gateway = GatewayArgs(profile=profile, served=tuple(served), absent=absent)
    specs.append(_of_service(GATEWAY, GATEWAY_IMPORT_PATH, "/", gateway))
    return tuple(specs)


def _of_service(name: str, import_path: str, prefix: str | None, args: Frozen) -> ApplicationSpec:
    return ApplicationSpec(
        name=name,
        import_path=import_path,
        route_prefix=prefix,
        args=args.model_dump(mode="json"),
    )


def _card_of(deployment: Deployment, garden: CardLookup) -> ModelCard:
    if isinstance(deployment.card, InstalledCard):
        return garden.installed_card(deployment.card.installed)
    return garden.card(deployment.card)


def model_application(name: str, deployment: Deployment, card: ModelCard) -> ApplicationSpec:
    """The application of one deployment, which serves `card`."""
    args = ReplicaArgs(
        deployment=name,
        card=card,
        resources=deployment.resources,
        scaling=deployment.scaling,
        queue=deployment.queue,
        text=deployment.text,
        encoder=deployment.encoder,
        seq2seq=deployment.seq2seq,
        image=deployment.image,
    )
    return ApplicationSpec(
        name=name,
        import_path=FAMILY_IMPORT_PATHS[deployment.family],
        route_prefix=None,
        args=args.model_dump(mode="json"),
    )
