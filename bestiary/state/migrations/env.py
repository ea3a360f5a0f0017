"""Run by Alembic, on the connection and in the transaction of `bestiary/state/upgrade.py`."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from bestiary.state.tables import Table


def run() -> None:
    connection = context.config.attributes.get("connection")
    if not isinstance(connection, Connection):
        raise TypeError("run migrations through bestiary.state.upgrade.upgrade")
    context.configure(
        connection=connection,
        target_metadata=Table.metadata,
        render_as_batch=True,  # SQLite alters tables by copying them
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()


run()
