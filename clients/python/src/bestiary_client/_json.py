"""Reading JSON that somebody else wrote: the value with its type, or UnexpectedReply."""

from __future__ import annotations

import json
from typing import TypeVar

from bestiary_client._errors import UnexpectedReply

JsonObject = dict[str, object]
T = TypeVar("T")


def parse_object(text: str | bytes) -> JsonObject:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UnexpectedReply(f"the reply is not JSON: {text[:80]!r}") from error
    if not isinstance(value, dict):
        raise UnexpectedReply(f"the reply is not a JSON object: {text[:80]!r}")
    return value


def get(obj: JsonObject, name: str, kind: type[T]) -> T:
    """Raises UnexpectedReply where `name` is missing or of another type."""
    value = obj.get(name)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise UnexpectedReply(f"field {name!r} of the reply should be {kind.__name__}")
    return value


def get_optional(obj: JsonObject, name: str, kind: type[T]) -> T | None:
    return None if obj.get(name) is None else get(obj, name, kind)


def get_objects(obj: JsonObject, name: str) -> list[JsonObject]:
    found = get(obj, name, list)
    if not all(isinstance(one, dict) for one in found):
        raise UnexpectedReply(f"field {name!r} of the reply should hold objects")
    return found
