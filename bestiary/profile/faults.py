"""Pydantic's complaints about a profile -> sentences: dotted path, what is wrong, what is near.

Walks the model along each error's location, since pydantic puts the arms of a union
between the keys. Knows models and locations, never files.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from bestiary.profile.models import UnknownReference
from bestiary.profile.yaml_source import KeyPath, dotted

_KEY = "[key]"  # pydantic's mark for "the key itself, not its value"


@dataclass(frozen=True, slots=True)
class Fault:
    """`path` as the file would write it; `message` starts with it, dotted."""

    path: KeyPath
    message: str


def faults(error: ValidationError, model: type[BaseModel]) -> tuple[Fault, ...]:
    """One fault a place, in pydantic's order."""
    found: dict[KeyPath, list[tuple[int, str]]] = {}
    for detail in error.errors(include_url=False):
        place = _locate(detail["loc"], model)
        path, message = _explain(detail, place)
        found.setdefault(place.union or path, []).append((len(path), message))
        if place.union is not None and path != place.union:
            found.setdefault(path, []).append((len(path), message))
    return _without_other_arms(found)


def nearest(name: str, known: Sequence[str]) -> str:
    """`; did you mean 'x'?` and what is known; what is known alone where nothing is near."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{hint} (known: {', '.join(sorted(known)) or 'none'})"


@dataclass(frozen=True, slots=True)
class _Place:
    path: KeyPath
    union: KeyPath | None  # where the innermost union on the way stands
    parent: object  # the annotation that holds the last key
    is_key: bool  # the key is wrong, not its value


def _locate(loc: tuple[int | str, ...], model: type[BaseModel]) -> _Place:
    path: KeyPath = ()
    union: KeyPath | None = None
    here: object = model
    parent: object = model
    is_key = False
    for segment in loc:
        arms = _arms(here)
        if segment == _KEY:
            is_key = True
        elif len(arms) > 1:
            union = path
            here = next((arm for arm in arms if _label(arm) == segment), str)
        else:
            parent = arms[0]
            path = (*path, segment)
            here = _under(parent, segment)
    return _Place(path=path, union=union, parent=parent, is_key=is_key)


def _arms(annotation: object) -> tuple[object, ...]:
    """The members of a union without None; of anything else, itself."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, UnionType):
        return tuple(arm for arm in get_args(annotation) if arm is not type(None))
    return (annotation,)


def _label(arm: object) -> str:
    return str(getattr(arm, "__name__", arm))


def _under(annotation: object, segment: int | str) -> object:
    """The annotation of the value at one key or index."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        field = annotation.model_fields.get(str(segment))
        return field.annotation if field is not None else object
    arguments = get_args(annotation)
    if get_origin(annotation) is dict:
        return arguments[1]
    return arguments[0] if arguments else object


def _explain(detail: ErrorDetails, place: _Place) -> tuple[KeyPath, str]:
    context: Mapping[str, object] = detail.get("ctx", {})
    cause = context.get("error")
    if isinstance(cause, UnknownReference):
        return cause.path, f"{dotted(cause.path)}: {cause}{nearest(cause.named, cause.known)}"
    name = dotted(place.path) or "the profile"
    kind = detail["type"]
    if kind == "extra_forbidden":
        return place.path, f"{name} is not a key{nearest(str(place.path[-1]), _keys(place.parent))}"
    if kind == "missing":
        return place.path, f"{name} is missing"
    if kind in ("enum", "literal_error"):
        known = re.findall(r"'([^']*)'", str(context.get("expected", "")))
        given = str(place.path[-1]) if place.is_key else str(detail["input"])
        return place.path, f"{name}: {given!r} is not valid{nearest(given, known)}"
    subject = f"{name}, the name itself" if place.is_key else name
    if cause is not None:
        return place.path, f"{subject}: {cause}"
    return place.path, f"{subject}: {_lowered(detail['msg'])}, not {_shown(detail['input'])}"


def _keys(annotation: object) -> tuple[str, ...]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return tuple(annotation.model_fields)
    return ()


def _lowered(message: str) -> str:
    return message[:1].lower() + message[1:]


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."


def _without_other_arms(found: dict[KeyPath, list[tuple[int, str]]]) -> tuple[Fault, ...]:
    """Of a union's errors, those of the arm that was meant: the ones that reach deepest."""
    kept: list[Fault] = []
    for path, entries in found.items():
        deeper = any(depth > len(path) for depth, _ in entries)
        own = [message for depth, message in entries if depth == len(path)]
        if not deeper and own:
            kept.append(Fault(path, "; or ".join(dict.fromkeys(own))))
    return tuple(kept)
