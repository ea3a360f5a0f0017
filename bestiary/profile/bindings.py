"""Which card the operator of this machine bound to which tier, over what the profile says.

`bestiary models add PATH --tier otter` writes `$BESTIARY_HOME/bindings.yaml`: tier -> card id.
`apply_bindings` lays that over a profile. Knows nothing of weights or of what is installed.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import yaml
from filelock import FileLock, Timeout
from pydantic import TypeAdapter, ValidationError

from bestiary.errors import Conflict, ProfileInvalid
from bestiary.garden.card import Family
from bestiary.profile.faults import nearest
from bestiary.profile.models import Deployment, Profile, TierBinding
from bestiary.profile.yaml_source import parse_yaml
from bestiary.schemas.routing import Tier

LOCK_TIMEOUT_S = 10.0
_HEADER = "# Tier -> card, over the profile. Written by `bestiary models add --tier`.\n"
_BINDINGS: TypeAdapter[dict[Tier, str]] = TypeAdapter(dict[Tier, str])


def bindings_file(home: Path) -> Path:
    return home / "bindings.yaml"


def read_bindings(home: Path) -> dict[Tier, str]:
    """Empty where nothing was bound. Raises ProfileInvalid with `file:line`."""
    path = bindings_file(home)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    document = parse_yaml(text, str(path))
    try:
        return _BINDINGS.validate_json(json.dumps(document.data), strict=True)
    except ValidationError as error:
        loc = error.errors(include_url=False)[0]["loc"]
        asked = str(loc[0]) if loc else ""
        raise ProfileInvalid(
            f"{asked or 'the file'} does not bind a tier to a card id"
            f"{nearest(asked, [str(tier) for tier in Tier])}",
            document.where(loc[:1]),
        ) from error


def bind_tier(home: Path, tier: Tier, card_id: str) -> dict[Tier, str]:
    """Binds, replacing an earlier binding of the tier, and returns all bindings."""
    with _locked(home):
        bindings = {**read_bindings(home), tier: card_id}
        _write(home, bindings)
    return bindings


def unbind_tier(home: Path, tier: Tier) -> dict[Tier, str]:
    """Lets the profile decide about the tier again; returns the bindings that are left."""
    with _locked(home):
        bindings = {bound: card for bound, card in read_bindings(home).items() if bound != tier}
        _write(home, bindings)
    return bindings


def unbind_card(home: Path, card_id: str) -> tuple[Tier, ...]:
    """Lets the profile decide about every tier that the card was bound to; names them."""
    with _locked(home):
        bindings = read_bindings(home)
        freed = tuple(tier for tier, card in bindings.items() if card == card_id)
        if freed:
            _write(home, {tier: card for tier, card in bindings.items() if card != card_id})
    return freed


def apply_bindings(
    profile: Profile, bindings: Mapping[Tier, str], card_families: Mapping[str, Family]
) -> Profile:
    """The profile with each bound tier answered by its card, validated again.

    The tier's present deployment gives engine, resources, scaling and queue; a tier that
    the profile leaves open takes those of the largest tier that it binds, and falls back
    to it. A deployment that nothing names any longer is dropped: it would only hold memory.
    `card_families` has the cards that the garden knows. Raises ProfileInvalid.
    """
    for tier, card_id in bindings.items():
        _require_text_card(tier, card_id, card_families)
        profile = _bound(profile, tier, card_id)
    return profile


def deployment_name(tier: Tier) -> str:
    """What a bound tier's deployment is called."""
    return f"bound-{tier}"


def _require_text_card(tier: Tier, card_id: str, families: Mapping[str, Family]) -> None:
    family = families.get(card_id)
    if family is None:
        raise ProfileInvalid(
            f"bindings: {tier} is bound to the card {card_id!r}, which the garden does not have"
            f"{nearest(card_id, tuple(families))}; "
            f"`bestiary models unbind {tier}` lets the profile decide again"
        )
    if family is not Family.TEXT:
        raise ProfileInvalid(
            f"bindings: {tier} is bound to the card {card_id!r}, "
            f"which is of the family {family}; tiers are answered by text cards"
        )


def _bound(profile: Profile, tier: Tier, card_id: str) -> Profile:
    present = profile.tiers.get(tier)
    donor = present or profile.tiers[_largest(profile)]
    name = deployment_name(tier)
    deployment = profile.deployments[donor.deployment].model_copy(update={"card": card_id})
    binding = (
        present.model_copy(update={"deployment": name})
        if present is not None
        else TierBinding(deployment=name, fallback=(_largest(profile),))
    )
    changed = profile.model_copy(
        update={
            "deployments": {**profile.deployments, name: deployment},
            "tiers": {**profile.tiers, tier: binding},
        }
    )
    trimmed = changed.model_copy(update={"deployments": _without_orphan(changed, donor.deployment)})
    return Profile.model_validate(trimmed.model_dump())


def _largest(profile: Profile) -> Tier:
    """The largest tier that the profile binds; `Tier` lists them smallest first."""
    return [tier for tier in Tier if tier in profile.tiers][-1]


def _without_orphan(profile: Profile, candidate: str) -> dict[str, Deployment]:
    used = {binding.deployment for binding in profile.tiers.values()} | {profile.embedding}
    named = set(profile.aliases.values())
    card = profile.deployments[candidate].card
    if candidate in used | named or card in named:
        return profile.deployments
    return {name: one for name, one in profile.deployments.items() if name != candidate}


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """One writer at a time over all processes. Raises Conflict after `LOCK_TIMEOUT_S`."""
    home.mkdir(parents=True, exist_ok=True)
    lock = FileLock(home / "bindings.lock", timeout=LOCK_TIMEOUT_S)
    try:
        lock.acquire()
    except Timeout as error:
        raise Conflict(
            f"another process has been changing {bindings_file(home)} for {LOCK_TIMEOUT_S:.0f} s"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _write(home: Path, bindings: Mapping[Tier, str]) -> None:
    """A new file under another name, synced, then renamed: readers see the old or the new."""
    text = _HEADER + yaml.safe_dump({str(tier): card for tier, card in bindings.items()})
    descriptor, temporary = tempfile.mkstemp(dir=home, prefix=".bindings-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(bindings_file(home))
    finally:
        Path(temporary).unlink(missing_ok=True)
