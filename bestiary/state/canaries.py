"""Aliases whose traffic is split between two models.

Who moves a canary, and what its rules mean, is not known here.
"""

from __future__ import annotations

from bisect import bisect_right

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from bestiary.errors import Conflict, InvalidRequest, NotFound
from bestiary.schemas.publishing import ArmCounts, Canary, CanaryRules, CanaryState
from bestiary.state.counters import Counter, lock, read
from bestiary.state.database import Database
from bestiary.state.names import storable
from bestiary.state.stored import now
from bestiary.state.tables import NAME_CHARACTERS, CanaryRow


class Canaries:
    """The store of canaries. Blocking; raises Unavailable where the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def start(
        self,
        alias: str,
        base: str,
        candidate: str,
        rules: CanaryRules,
        *,
        weight: float | None = None,  # the candidate's first share; None: the rules' first
    ) -> Canary:
        """In place of one that has ended. Raises InvalidRequest, and Conflict where one runs."""
        weight = rules.weights[0] if weight is None else _checked_weight(weight)
        _check_names(alias, base, candidate)
        with self._database.writing() as session:
            counter = lock(session, Counter.CANARIES)
            before = session.get(CanaryRow, alias, with_for_update=True)
            if before is not None and before.state == CanaryState.RUNNING:
                raise Conflict(f"a canary runs for {alias!r} already: end it first")
            row = before or CanaryRow(alias=alias)
            row.base, row.candidate, row.rules = base, candidate, rules
            row.created_at = now()
            step = max(0, bisect_right(rules.weights, weight) - 1)
            _begin(row, step=step, weight=weight, state=CanaryState.RUNNING, reason="started")
            session.add(row)
            counter.value += 1
            return _as_canary(row)

    def get(self, alias: str) -> Canary:
        """Raises NotFound."""
        with self._database.reading() as session:
            return _as_canary(_found(session, alias))

    def list(self) -> tuple[Canary, ...]:
        """All, by alias."""
        with self._database.reading() as session:
            rows = session.scalars(select(CanaryRow).order_by(CanaryRow.alias)).all()
            return tuple(_as_canary(row) for row in rows)

    def running(self) -> tuple[Canary, ...]:
        return tuple(canary for canary in self.list() if canary.state is CanaryState.RUNNING)

    def count(self, alias: str, *, base: ArmCounts, candidate: ArmCounts) -> None:
        """Adds to the present step. An unknown alias is ignored: its canary has just ended."""
        with self._database.writing() as session:
            session.execute(
                update(CanaryRow)
                .where(CanaryRow.alias == alias)
                .values(
                    base_requests=CanaryRow.base_requests + base.requests,
                    base_errors=CanaryRow.base_errors + base.errors,
                    base_first_token_s=CanaryRow.base_first_token_s + base.first_token_s,
                    base_timed=CanaryRow.base_timed + base.timed,
                    candidate_requests=CanaryRow.candidate_requests + candidate.requests,
                    candidate_errors=CanaryRow.candidate_errors + candidate.errors,
                    candidate_first_token_s=CanaryRow.candidate_first_token_s
                    + candidate.first_token_s,
                    candidate_timed=CanaryRow.candidate_timed + candidate.timed,
                )
            )

    def move(
        self, alias: str, *, step: int, weight: float, state: CanaryState, reason: str
    ) -> Canary:
        """Begins a step, with counts of 0. Raises NotFound, InvalidRequest."""
        _checked_weight(weight)
        with self._database.writing() as session:
            counter = lock(session, Counter.CANARIES)
            row = _found(session, alias, locked=True)  # no count gets in between
            _begin(row, step=step, weight=weight, state=state, reason=reason)
            counter.value += 1
            return _as_canary(row)

    def end(self, alias: str) -> None:
        """The alias means again what it meant before. Raises NotFound."""
        with self._database.writing() as session:
            counter = lock(session, Counter.CANARIES)
            session.delete(_found(session, alias, locked=True))
            counter.value += 1

    def version(self) -> int:
        """Another number after every start, move and end, not after a count."""
        with self._database.reading() as session:
            return read(session, Counter.CANARIES)


def _check_names(alias: str, base: str, candidate: str) -> None:
    for field, name in (("alias", alias), ("base", base), ("candidate", candidate)):
        if not name or len(name) > NAME_CHARACTERS or not storable(name):
            raise InvalidRequest(f"{field} must be a name", field)
    if base == candidate:
        raise InvalidRequest("candidate and base are the same model", "candidate")


def _checked_weight(weight: float) -> float:
    if not 0.0 <= weight <= 1.0:
        raise InvalidRequest("weight must be from 0 to 1", "weight")
    return weight


def _found(session: Session, alias: str, *, locked: bool = False) -> CanaryRow:
    row = session.get(CanaryRow, alias, with_for_update=locked) if storable(alias) else None
    if row is None:
        raise NotFound(f"{alias!r} has no canary")
    return row


def _begin(row: CanaryRow, *, step: int, weight: float, state: CanaryState, reason: str) -> None:
    row.step, row.weight, row.state, row.reason = step, weight, state, reason
    row.step_began_at = row.updated_at = now()
    row.base_requests = row.base_errors = row.base_timed = 0
    row.candidate_requests = row.candidate_errors = row.candidate_timed = 0
    row.base_first_token_s = row.candidate_first_token_s = 0.0


def _as_canary(row: CanaryRow) -> Canary:
    return Canary(
        alias=row.alias,
        base=row.base,
        candidate=row.candidate,
        weight=row.weight,
        state=CanaryState(row.state),
        rules=row.rules,
        step=row.step,
        step_began_at=row.step_began_at,
        base_counts=ArmCounts(
            requests=row.base_requests,
            errors=row.base_errors,
            first_token_s=row.base_first_token_s,
            timed=row.base_timed,
        ),
        candidate_counts=ArmCounts(
            requests=row.candidate_requests,
            errors=row.candidate_errors,
            first_token_s=row.candidate_first_token_s,
            timed=row.candidate_timed,
        ),
        reason=row.reason,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
