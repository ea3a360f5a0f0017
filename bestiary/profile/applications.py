"""Profile -> Serve applications. The one builder: the laptop and KubeRay run what it returns.

An application is named after its deployment in the profile and is built by
`<import_path>(args)`, where `args` is plain JSON that the family's own `app.py`
validates back into `ReplicaArgs` or `GatewayArgs`. The profile is the composition
root: nothing here imports `services` or `deployments`.
"""

from __future__ import annotations

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
from bestiary.schemas.base import Frozen

GATEWAY = "gateway"
GATEWAY_IMPORT_PATH = "services.gateway.app:build"
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
    """A deployment that runs, and the card that it serves."""

    deployment: str
    family: Family
    card: ModelCard


class GatewayArgs(Frozen):
    """Everything the gateway is built from."""

    profile: Profile
    served: tuple[ServedModel, ...]
    absent: dict[str, str] = {}  # deployment -> why it does not run


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


def applications(profile: Profile, garden: CardLookup) -> tuple[ApplicationSpec, ...]:
    """The models' applications in the profile's order, the gateway last."""
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
        specs.append(_model_application(name, deployment, card))
    gateway = GatewayArgs(profile=profile, served=tuple(served), absent=absent)
    specs.append(
        ApplicationSpec(
            name=GATEWAY,
            import_path=GATEWAY_IMPORT_PATH,
            route_prefix="/",
            args=gateway.model_dump(mode="json"),
        )
    )
    return tuple(specs)


def _card_of(deployment: Deployment, garden: CardLookup) -> ModelCard:
    if isinstance(deployment.card, InstalledCard):
        return garden.installed_card(deployment.card.installed)
    return garden.card(deployment.card)


def _model_application(name: str, deployment: Deployment, card: ModelCard) -> ApplicationSpec:
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
