"""The schema that the migrations make, on both databases."""

from __future__ import annotations

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from bestiary.state.database import Database, open_engine
from bestiary.state.keys import Keys
from bestiary.state.tables import Table
from bestiary.state.tuning_jobs import TuningJobs
from bestiary.state.upgrade import MIGRATIONS, upgrade


def test_migrations_and_tables_agree_on_both_databases(database_url):
    engine = open_engine(database_url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Table.metadata) == []
    engine.dispose()


def test_a_database_from_before_tuning_is_brought_up_and_keeps_its_keys(database, database_url):
    made = Keys(database).create("app")
    database.close()
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    engine = open_engine(database_url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
    engine.dispose()

    upgrade(database_url)

    again = Database(database_url)
    assert Keys(again).verify(made.secret) == made.key
    assert TuningJobs(again).claim(1) is None
    again.close()
