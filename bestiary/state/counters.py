"""A number for each kind of thing: it tells that something changed, and it is that kind's lock.

SQLite has one writer at a time and needs no lock. PostgreSQL holds the counter's row
until the transaction ends, so a rule over many rows (never more than so many running)
cannot be broken by two transactions that each see half of it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from bestiary.errors import Unavailable
from bestiary.state.tables import CounterRow

T = TypeVar("T")


class Counter(StrEnum):
    """The rows that the migrations made."""

    TUNING_JOBS = "tuning_jobs"
    PUBLISHED_MODELS = "published_models"
    CANARIES = "canaries"


def lock(session: Session, counter: Counter) -> CounterRow:
    """The counter's row, held until the transaction ends."""
    return _present(session.get(CounterRow, counter, with_for_update=True), counter)


def read(session: Session, counter: Counter) -> int:
    value = session.scalar(select(CounterRow.value).where(CounterRow.name == counter))
    return _present(value, counter)


def _present(found: T | None, counter: Counter) -> T:
    if found is None:
        raise Unavailable(f"the state database has no counter {counter!r}: migrate it", 1.0)
    return found
