"""One engine per process and two kinds of transaction; which tables there are is not its business.

SQLite is opened as https://docs.sqlalchemy.org/dialects/sqlite.html advises for
correct transactions: the driver's own BEGIN is off, ours are explicit. A writing
transaction takes the write lock when it begins (BEGIN IMMEDIATE), so that two
processes queue for it (busy timeout) instead of failing half-way with
SQLITE_BUSY. WAL is a property of the file: `upgrade` sets it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from bestiary.errors import Unavailable

BUSY_TIMEOUT_S = 10.0  # for another transaction's lock, on both databases
POOL_TIMEOUT_S = 5.0
_WRITES = "bestiary_writes"


def is_sqlite(url: str | URL) -> bool:
    return make_url(url).get_backend_name() == "sqlite"


def open_engine(url: str) -> Engine:
    """An engine with bounded waits; connects on first use."""
    if not is_sqlite(url):
        return create_engine(
            url,
            pool_timeout=POOL_TIMEOUT_S,
            pool_pre_ping=True,
            connect_args={
                "connect_timeout": int(POOL_TIMEOUT_S),
                "options": f"-c lock_timeout={int(BUSY_TIMEOUT_S)}s",
            },
        )
    engine = create_engine(
        url, pool_timeout=POOL_TIMEOUT_S, connect_args={"timeout": BUSY_TIMEOUT_S}
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


class Database:
    """Sessions over one engine. Raises Unavailable where the database does not answer."""

    def __init__(self, url: str) -> None:
        self._engine = open_engine(url)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A transaction that is always rolled back."""
        with _typed_faults(), Session(self._engine) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction that commits where the block ends without an error."""
        with (
            _typed_faults(),
            Session(self._engine.execution_options(**{_WRITES: True})) as session,
            session.begin(),
        ):
            yield session

    def close(self) -> None:
        self._engine.dispose()


def _prepare_sqlite(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    if not isinstance(connection, sqlite3.Connection):
        raise TypeError(f"unexpected SQLite driver {type(connection)}")
    connection.isolation_level = None  # no implicit BEGIN
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _typed_faults() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout) as error:
        raise Unavailable("the state database does not answer", 1.0) from error
