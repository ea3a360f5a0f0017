"""Numbers of a reply, in lists or packed. Raises UnexpectedReply where they are none."""

from __future__ import annotations

import base64
import binascii
import sys
from array import array

from bestiary_client._errors import UnexpectedReply
from bestiary_client._heat import Matrix
from bestiary_client._json import JsonObject, get


def number(obj: JsonObject, name: str) -> float:
    """A float that happens to be whole may come as an integer."""
    return _number(obj.get(name), name)


def integers(obj: JsonObject, name: str) -> tuple[int, ...]:
    found = get(obj, name, list)
    if not all(type(one) is int for one in found):
        raise UnexpectedReply(f"field {name!r} of the reply should hold integers")
    return tuple(found)


def strings(obj: JsonObject, name: str) -> tuple[str, ...]:
    found = get(obj, name, list)
    if not all(isinstance(one, str) for one in found):
        raise UnexpectedReply(f"field {name!r} of the reply should hold strings")
    return tuple(found)


def matrix(value: object, name: str, rows: int, columns: int) -> Matrix:
    """[rows][columns]."""
    return [
        [_number(one, name) for one in listed(row, name, columns)]
        for row in listed(value, name, rows)
    ]


def listed(value: object, name: str, length: int | None = None) -> list[object]:
    """Of that length, where one is given."""
    if not isinstance(value, list) or length not in (None, len(value)):
        raise UnexpectedReply(f"field {name!r} of the reply has another shape than it should")
    return value


def packed_floats(encoded: str, what: str) -> list[float]:
    """base64 of little-endian float32."""
    floats = array("f")
    try:
        floats.frombytes(base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError) as error:
        raise UnexpectedReply(f"{what} is not base64 of float32") from error
    if sys.byteorder == "big":
        floats.byteswap()
    return floats.tolist()


def _number(value: object, name: str) -> float:
    if type(value) not in (int, float):
        raise UnexpectedReply(f"field {name!r} of the reply should be numbers")
    return float(value)  # type: ignore[arg-type]  # which the line above has made sure of
