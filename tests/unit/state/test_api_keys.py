"""API keys in a real SQLite file, by one process and by two."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from bestiary.errors import InvalidRequest, NotFound, Unavailable
from bestiary.state.database import Database
from bestiary.state.first_key import ensure_first_key
from bestiary.state.keys import Keys, KeyScope
from bestiary.state.upgrade import upgrade


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'home' / 'state.db'}"


@pytest.fixture
def keys(url):
    upgrade(url)
    database = Database(url)
    yield Keys(database)
    database.close()


def test_a_new_key_verifies(keys):
    made = keys.create("app", requests_per_minute=5)

    assert made.secret.startswith("bst-")
    assert keys.verify(made.secret) == made.key
    assert made.key.scopes == {KeyScope.INFERENCE}


def test_secrets_are_long_and_differ(keys):
    secrets = {keys.create("app").secret for _ in range(20)}

    assert len(secrets) == 20
    assert min(map(len, secrets)) >= 43


@pytest.mark.parametrize("secret", ["", "wrong", "bst-", "x" * 100_000, "\ud800", "' or 1=1 --"])
def test_another_secret_does_not_verify(keys, secret):
    keys.create("app")

    assert keys.verify(secret) is None


def test_the_secret_is_nowhere_in_the_database(keys, url):
    made = keys.create("app")

    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        dump = "\n".join(connection.iterdump())
    connection.close()
    assert made.secret not in dump
    assert made.key.prefix in dump


@pytest.mark.parametrize("by", ["id", "prefix"])
def test_a_revoked_key_verifies_no_more(keys, by):
    made, other = keys.create("app"), keys.create("other")

    revoked = keys.revoke(getattr(made.key, by))

    assert revoked.revoked_at is not None
    assert keys.verify(made.secret) is None
    assert keys.verify(other.secret) is not None


def test_revoking_again_keeps_the_first_time(keys):
    made = keys.create("app")

    first, second = keys.revoke(made.key.id), keys.revoke(made.key.id)

    assert first.revoked_at == second.revoked_at


def test_revoking_nothing_is_not_found(keys):
    with pytest.raises(NotFound):
        keys.revoke("none")


def test_revoking_an_ambiguous_prefix_is_refused(keys):
    for end in "ab":
        keys.create("twin", secret="bst-123456" + end)

    with pytest.raises(InvalidRequest):
        keys.revoke("bst-123456")


def test_list_shows_all_keys_oldest_first(keys):
    made = [keys.create(name).key for name in ("a", "b", "c")]

    assert keys.list() == tuple(made)


@pytest.mark.parametrize("wrong", [{"scopes": []}, {"requests_per_minute": 0}])
def test_a_key_that_could_do_nothing_is_refused(keys, wrong):
    with pytest.raises(InvalidRequest):
        keys.create("app", **wrong)


def test_a_missing_schema_is_unavailable(url, tmp_path):
    (tmp_path / "home").mkdir()
    database = Database(url)

    with pytest.raises(Unavailable):
        Keys(database).list()
    database.close()


def test_a_failed_write_leaves_nothing(keys):
    keys.create("app", secret="bst-same-secret")

    with pytest.raises(Exception, match="UNIQUE"):
        keys.create("twin", secret="bst-same-secret")
    assert [key.name for key in keys.list()] == ["app"]


def test_upgrade_is_idempotent_and_keeps_what_is_there(keys, url):
    made = keys.create("app")

    upgrade(url)

    assert keys.verify(made.secret) is not None


def test_the_database_is_in_wal_mode(keys, url):
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        mode = connection.execute("PRAGMA journal_mode").fetchone()
    connection.close()

    assert mode == ("wal",)


WORKER = """
import sys
from bestiary.state.database import Database
from bestiary.state.keys import Keys
from bestiary.state.upgrade import upgrade
url, name = sys.argv[1:]
upgrade(url)
keys = Keys(Database(url))
for number in range(10):
    print(keys.create(f"{name}-{number}").secret)
"""


def test_processes_that_start_at_once_migrate_once_and_lose_no_key(url):
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, url, name], stdout=subprocess.PIPE, text=True
        )
        for name in ("one", "two")
    ]
    secrets = [line for worker in workers for line in worker.communicate(timeout=60)[0].split()]

    assert [worker.returncode for worker in workers] == [0, 0]
    assert len(secrets) == 20
    database = Database(url)
    assert all(Keys(database).verify(secret) for secret in secrets)
    database.close()


def test_a_key_revoked_by_another_process_verifies_no_more(keys, url):
    made = keys.create("app")
    assert keys.verify(made.secret) is not None

    script = (
        "import sys; from bestiary.state.database import Database; "
        "from bestiary.state.keys import Keys; Keys(Database(sys.argv[1])).revoke(sys.argv[2])"
    )
    subprocess.run([sys.executable, "-c", script, url, made.key.id], check=True, timeout=60)

    assert keys.verify(made.secret) is None


def test_the_first_key_is_private_and_stays(keys, tmp_path):
    path = tmp_path / "home" / "key"

    first = ensure_first_key(keys, path)
    again = ensure_first_key(keys, path)

    assert first == again == path.read_text().strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    verified = keys.verify(first)
    assert verified is not None
    assert verified.scopes == set(KeyScope)


def test_a_first_key_that_was_revoked_is_replaced(keys, tmp_path):
    path = tmp_path / "home" / "key"
    first = ensure_first_key(keys, path)
    [key] = keys.list()
    keys.revoke(key.id)

    second = ensure_first_key(keys, path)

    assert second != first
    assert keys.verify(second) is not None


def test_migrations_and_tables_agree(url):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from bestiary.state.database import open_engine
    from bestiary.state.tables import Table

    upgrade(url)
    engine = open_engine(url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Table.metadata) == []
    engine.dispose()


def test_the_migrations_ship_with_the_package():
    import bestiary.state.upgrade as module

    assert list((Path(module.__file__).parent / "migrations" / "versions").glob("r0001_*.py"))
