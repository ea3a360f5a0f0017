"""Published models: immutable records of what was tuned, until they are deleted.

Weights, cards on disk and who serves them are not known here.
"""

from __future__ import annotations

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from bestiary.errors import Conflict, ModelNotFound
from bestiary.schemas.publishing import CanaryState, PublishedModel
from bestiary.state.counters import Counter, lock, read
from bestiary.state.database import Database
from bestiary.state.names import storable
from bestiary.state.stored import now
from bestiary.state.tables import CanaryRow, PublishedModelRow


class PublishedModels:
    """The store of models. Blocking; raises Unavailable where the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, model: PublishedModel) -> None:
        """Again is no error, and brings no deleted model back.

        Raises Conflict where another model has the id.
        """
        with self._database.writing() as session:
            counter = lock(session, Counter.PUBLISHED_MODELS)
            known = _row(session, model.id)
            if known is None:
                session.add(PublishedModelRow(id=model.id, model=model, deleted_at=None))
                counter.value += 1
            elif known.model != model:
                raise Conflict(f"another model is published as {model.id!r}")

    def get(self, id: str) -> PublishedModel:
        """Raises ModelNotFound, for a deleted one too."""
        with self._database.reading() as session:
            return _present(session, id).model

    def list(self) -> tuple[PublishedModel, ...]:
        """All that are not deleted, oldest first."""
        with self._database.reading() as session:
            return tuple(
                session.scalars(
                    select(PublishedModelRow.model)
                    .where(PublishedModelRow.deleted_at.is_(None))
                    .order_by(PublishedModelRow.number)
                ).all()
            )

    def deleted(self) -> tuple[PublishedModel, ...]:
        """Their records stay: who deployed what must be answerable later."""
        with self._database.reading() as session:
            deleted = PublishedModelRow.deleted_at.is_not(None)
            return tuple(session.scalars(select(PublishedModelRow.model).where(deleted)).all())

    def delete(self, id: str) -> PublishedModel:
        """Raises ModelNotFound, and Conflict while an alias's canary sends requests to it."""
        with self._database.writing() as session:
            counter = lock(session, Counter.PUBLISHED_MODELS)
            row = _present(session, id)
            alias = _alias_that_asks(session, id)
            if alias is not None:
                raise Conflict(f"the canary of {alias!r} sends requests to {id!r}: end it first")
            row.deleted_at = now()
            counter.value += 1
            return row.model

    def version(self) -> int:
        """Another number after every change; cheap enough to ask each second."""
        with self._database.reading() as session:
            return read(session, Counter.PUBLISHED_MODELS)


def _row(session: Session, id: str) -> PublishedModelRow | None:
    if not storable(id):
        return None
    return session.scalars(
        select(PublishedModelRow).where(PublishedModelRow.id == id)
    ).one_or_none()


def _present(session: Session, id: str) -> PublishedModelRow:
    row = _row(session, id)
    if row is None or row.deleted_at is not None:
        raise ModelNotFound(f"no published model is called {id!r}", id)
    return row


def _alias_that_asks(session: Session, model: str) -> str | None:
    """A running canary asks both its models, a promoted one its candidate, else its base."""
    return session.scalars(
        select(CanaryRow.alias)
        .where(
            or_(
                and_(CanaryRow.candidate == model, CanaryRow.state != CanaryState.ROLLED_BACK),
                and_(CanaryRow.base == model, CanaryRow.state != CanaryState.PROMOTED),
            )
        )
        .limit(1)
    ).one_or_none()
