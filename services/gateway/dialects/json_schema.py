"""A JSON Schema in a request. What its keywords mean is not looked at here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator

MAX_DEPTH = 64  # of objects and lists in each other; whoever reads it further on recurses


def _bounded(schema: dict[str, object]) -> dict[str, object]:
    level: list[object] = [schema]
    for _ in range(MAX_DEPTH):
        level = [part for whole in level for part in _parts(whole)]
        if not level:
            return schema
    raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")


def _parts(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


SchemaDocument = Annotated[dict[str, object], AfterValidator(_bounded)]
