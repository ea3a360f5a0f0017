"""Brings a database to the newest schema. Safe when several processes start at once.

One of them migrates, the others wait for it and find nothing left to do: SQLite
behind a lock on a file beside the database, PostgreSQL behind an advisory lock.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import InterfaceError, OperationalError

from bestiary.errors import Unavailable
from bestiary.state.database import is_sqlite, open_engine

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK_TIMEOUT_S = 60.0
_LOCK_POLL_S = 0.05
_ADVISORY_LOCK = 0x62657374696172  # "bestiar": any number that nobody else takes


def upgrade(database_url: str) -> None:
    """Creates or migrates the schema; raises Unavailable where the database does not answer."""
    engine = open_engine(database_url)
    try:
        if is_sqlite(database_url):
            _upgrade_sqlite(engine, make_url(database_url).database)
        else:
            _upgrade_postgres(engine)
    except (OperationalError, InterfaceError) as error:
        raise Unavailable("the state database does not answer", 1.0) from error
    finally:
        engine.dispose()


def _upgrade_sqlite(engine: Engine, file: str | None) -> None:
    if not file or file == ":memory:":
        raise Unavailable("the state needs a database file, not one in memory", 0.0)
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    with _exclusive(Path(f"{file}.lock")):
        with engine.connect() as connection:
            # Before any transaction; it stays with the file.
            raw = connection.connection.dbapi_connection
            if raw is not None:
                raw.cursor().execute("PRAGMA journal_mode = WAL")
        with engine.begin() as connection:
            _migrate(connection)


def _upgrade_postgres(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"SET LOCAL lock_timeout = '{int(LOCK_TIMEOUT_S)}s'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        _migrate(connection)


def _migrate(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@contextmanager
def _exclusive(lock_file: Path) -> Iterator[None]:
    """Held by one process; freed by the kernel when that process dies."""
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    with lock_file.open("w") as file:
        while not _try_lock(file.fileno()):
            if time.monotonic() > deadline:
                raise Unavailable(f"another process holds {lock_file}", LOCK_TIMEOUT_S)
            time.sleep(_LOCK_POLL_S)
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
