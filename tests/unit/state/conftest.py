"""An empty database for each test: SQLite, and PostgreSQL where it is installed."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine

sys.path.insert(0, str(Path(__file__).parent))  # postgres_server, state_values

import postgres_server

from bestiary.state.database import Database
from bestiary.state.tables import CounterRow, Table
from bestiary.state.upgrade import upgrade


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the newest schema, to be copied: migrating takes longer than most tests."""
    file = tmp_path_factory.mktemp("sqlite") / "state.db"
    upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a database with the newest schema."""
    reason = postgres_server.why_not()
    if reason is not None:
        pytest.skip(reason)
    with postgres_server.running() as url:
        upgrade(url)
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        copy = tmp_path / "state.db"
        shutil.copyfile(request.getfixturevalue("migrated_sqlite"), copy)
        return f"sqlite:///{copy}"
    url: str = request.getfixturevalue("postgres")
    _empty(url)
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    yield opened
    opened.close()


def _empty(url: str) -> None:
    """Deletes every row but the counters', which the migrations made."""
    engine = create_engine(url)
    with engine.begin() as connection:
        for table in reversed(Table.metadata.sorted_tables):
            if table.name != CounterRow.__tablename__:
                connection.execute(table.delete())
    engine.dispose()
