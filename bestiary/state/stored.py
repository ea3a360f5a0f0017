"""Column types: how a value of ours is kept in a column. Knows no table."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TypeVar

from pydantic import TypeAdapter
from pydantic_core import to_json
from sqlalchemy import DateTime, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

T = TypeVar("T")


def now() -> datetime:
    return datetime.now(UTC)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time. SQLite keeps no zone; PostgreSQL gives times in its server's."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("a time without a zone")
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Stored(TypeDecorator[T]):
    """A typed value as JSON text, checked again on reading.

    Text and not the databases' own JSON: PostgreSQL's has no NaN, and the loss of a
    diverged job is one.
    """

    impl = Text
    cache_ok = True

    def __init__(self, of: type[T]) -> None:
        super().__init__()
        self.of = of
        self._adapter = TypeAdapter(of)

    def process_bind_param(self, value: T | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        plain = self._adapter.dump_python(value)
        return to_json(plain, inf_nan_mode="constants").decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> T | None:
        return self._adapter.validate_json(value) if value is not None else None
