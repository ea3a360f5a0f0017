"""Tuned models that were published, laid over a profile as its operator's bindings are.

An adapter is served by the deployments of its base model that take adapters. A model with whole
weights has a deployment of its own, and so has an adapter that asks for replicas of its own.
Pure: what is published comes in. The gateway routes by what comes out, and whoever starts
applications asks here which ones, so that both mean the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bestiary.errors import CardNotInstalled, ProfileInvalid
from bestiary.profile.applications import ApplicationSpec, ServedModel, model_application
from bestiary.profile.models import Deployment, Profile, TextEngine
from bestiary.schemas.publishing import PublishedModel
from bestiary.schemas.text import Adapter
from bestiary.schemas.tuning import PublishedKind

PREFIX = "ft-"  # of the names of deployments that serve one published model each
DOWNSCALE_DELAY_S = 600.0  # a tuned model is asked for now and then, and a cold start takes seconds
MAX_OWN_NAME = 40  # characters of an id's last part: a deployment's name has 48 at most


@dataclass(frozen=True, slots=True)
class Laid:
    """A profile with published models over it; `absent`: model id -> why nobody serves it."""

    profile: Profile
    served: tuple[ServedModel, ...]
    absent: Mapping[str, str]


def lay_published(
    profile: Profile,
    served: Sequence[ServedModel],
    models: Iterable[PublishedModel],
    home: Path,
) -> Laid:
    """`models` oldest first, as one may be tuned from another; their folders are under `home`."""
    own: dict[str, Deployment] = {}
    found = list(served)
    absent: dict[str, str] = {}
    for model in models:
        try:
            alone = _own_deployment(profile, model) if stands_alone(model) else None
            found += _serving(model, {**profile.deployments, **own}, found, home)
            if alone is not None:
                own[deployment_name(model.id)] = alone
        except (CardNotInstalled, ProfileInvalid) as why:
            absent[model.id] = why.message
    laid = profile.model_copy(update={"deployments": {**profile.deployments, **own}})
    return Laid(laid, tuple(found), absent)


def stands_alone(model: PublishedModel) -> bool:
    """It has a deployment of its own, which `application_of` tells."""
    return model.kind is PublishedKind.MODEL or model.min_replicas > 0


def deployment_name(model_id: str) -> str:
    """Of the deployment that serves nothing but this model."""
    last = re.sub(r"[^a-z0-9]+", "-", model_id.rpartition(":")[2])
    return f"{PREFIX}{last[:MAX_OWN_NAME].strip('-')}"


def application_of(
    profile: Profile, model: PublishedModel, served: Sequence[ServedModel] = ()
) -> ApplicationSpec:
    """What has to run for a model that stands alone; an adapter's base is among `served`.

    Raises ProfileInvalid where no engine of the profile is fit, and CardNotInstalled.
    """
    whole = model.kind is PublishedKind.MODEL
    card = model.card if whole else _bases(model, served)[0].card
    return model_application(deployment_name(model.id), _own_deployment(profile, model), card)


def _serving(
    model: PublishedModel,
    deployments: Mapping[str, Deployment],
    served: Sequence[ServedModel],
    home: Path,
) -> list[ServedModel]:
    """Everywhere that it is served, its own deployment first. Raises as `application_of`."""
    places = [deployment_name(model.id)] if stands_alone(model) else []
    adapter = None
    if model.kind is PublishedKind.ADAPTER:
        adapter = Adapter(name=model.id, folder=home / model.folder)
        bases = [one.deployment for one in _bases(model, served)]
        places += [name for name in bases if _takes(deployments[name].text, model)]
        if not places:
            raise ProfileInvalid(_what_to_set({name: deployments[name] for name in bases}, model))
    return [
        ServedModel(deployment=name, family=model.card.family, card=model.card, adapter=adapter)
        for name in places
    ]


def _own_deployment(profile: Profile, model: PublishedModel) -> Deployment:
    """As the base's first one, or the first of the family; at no replica while nobody asks."""
    if deployment_name(model.id) in profile.deployments:
        raise ProfileInvalid(f"the profile has a deployment {deployment_name(model.id)} already")
    fit = [one for one in profile.deployments.values() if one.family is model.card.family]
    if not fit:
        raise ProfileInvalid(
            f"the profile has no {model.card.family} deployment whose engine {model.id} could "
            f"have; give {model.base} one"
        )
    donor = next((one for one in fit if one.card == model.base), fit[0])
    scaling = donor.scaling.model_copy(
        update={
            "min_replicas": model.min_replicas,
            "max_replicas": max(1, model.min_replicas, donor.scaling.max_replicas),
            "downscale_delay_s": DOWNSCALE_DELAY_S,
        }
    )
    if model.kind is PublishedKind.MODEL:
        return donor.model_copy(update={"card": model.id, "scaling": scaling})
    engine = _with_room(donor.text, model)
    return donor.model_copy(update={"card": model.base, "scaling": scaling, "text": engine})


def _bases(model: PublishedModel, served: Sequence[ServedModel]) -> list[ServedModel]:
    """Where the base model itself is served: no adapter goes over another one."""
    found = [one for one in served if one.card.id == model.base and one.adapter is None]
    if not found:
        raise CardNotInstalled(
            f"its base model {model.base} is not served; give it a deployment in the profile",
            model.base,
        )
    return found


def _takes(engine: TextEngine | None, model: PublishedModel) -> bool:
    return engine is not None and engine.adapter_slots > 0 and engine.adapter_rank >= _rank(model)


def _with_room(engine: TextEngine | None, model: PublishedModel) -> TextEngine:
    if engine is None:
        raise ProfileInvalid(_ONLY_TEXT)
    slots, rank = max(1, engine.adapter_slots), max(_rank(model), engine.adapter_rank)
    return engine.model_copy(update={"adapter_slots": slots, "adapter_rank": rank})


def _rank(model: PublishedModel) -> int:
    return model.lineage.hyperparameters.lora.rank


_ONLY_TEXT = "only text models take adapters: tune the whole model"


def _what_to_set(bases: Mapping[str, Deployment], model: PublishedModel) -> str:
    engines = [one.text for one in bases.values() if one.text is not None]
    if not engines:
        return _ONLY_TEXT
    rank = f"text.adapter_rank to at least {_rank(model)}"
    if any(engine.adapter_slots > 0 for engine in engines):
        kind, to_set = f"adapters of rank {_rank(model)}", rank
    else:
        kind, to_set = "adapters", f"text.adapter_slots over 0 and {rank}"
    return (
        f"no deployment of its base model {model.base} takes {kind}: "
        f"set {to_set} for one of {', '.join(bases)} in the profile"
    )
