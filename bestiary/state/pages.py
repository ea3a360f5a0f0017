"""Pages of a list: the rows after a given one, and whether there are more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute, Session

from bestiary.errors import InvalidRequest

T = TypeVar("T")
Row = TypeVar("Row")


@dataclass(frozen=True)
class Page(Generic[T]):
    """`has_more`: the list goes on after the last of `data`."""

    data: tuple[T, ...]
    has_more: bool


def read_page(
    session: Session,
    rows: Select[Row],
    by: InstrumentedAttribute[int],
    convert: Callable[[Row], T],
    *,
    after: int | None,
    limit: int,
    newest_first: bool = True,
) -> Page[T]:
    """`rows` in the order of `by`; `after` is its value in the last row of the page before."""
    if limit < 1:
        raise InvalidRequest("limit must be at least 1", "limit")
    if after is not None:
        rows = rows.where(by < after if newest_first else by > after)
    ordered = rows.order_by(by.desc() if newest_first else by.asc())
    found = session.scalars(ordered.limit(limit + 1)).all()  # one more shows that there are more
    return Page(tuple(convert(row) for row in found[:limit]), len(found) > limit)
