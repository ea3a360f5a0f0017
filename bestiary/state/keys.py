"""API keys: made, shown once, listed, revoked, verified. Knows not who presents one, nor how.

A secret is 256 random bits. It is stored as plain SHA-256: slow, salted hashes
(bcrypt, Argon2) protect secrets that people choose and that can be guessed; 2**256
values cannot be, so a fast hash loses nothing and lets every request be checked.
OWASP's Password Storage Cheat Sheet is about passwords for that reason, and GitHub
stores its tokens hashed with SHA-256
(https://github.blog/2021-04-05-behind-githubs-new-authentication-token-formats/).
Looking a key up by its digest compares no secret byte by byte: what a timing
could tell is about a digest that its sender cannot steer.
"""

from __future__ import annotations

import hashlib
import secrets
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import select, update

from bestiary.errors import InvalidRequest, NotFound
from bestiary.state.database import Database
from bestiary.state.tables import ApiKeyRow

SECRET_PREFIX = "bst-"  # noqa: S105  (what a leaked key is recognised by, not a secret)
SECRET_BYTES = 32
VISIBLE_CHARACTERS = len(SECRET_PREFIX) + 6
MAX_SECRET_CHARACTERS = 200


class KeyScope(StrEnum):
    """What a key may do."""

    INFERENCE = "inference"  # call models
    TUNING = "tuning"  # files, tuning jobs, published models
    ADMIN = "admin"  # keys, quotas, the garden, traffic; includes tuning, not inference


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret."""

    id: str
    name: str
    prefix: str
    scopes: frozenset[KeyScope]
    requests_per_minute: int | None  # None: the profile's limit
    created_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key when it is made: the only time that `secret` is known."""

    key: ApiKey
    secret: str


class Keys:
    """The store of API keys. Blocking; raises Unavailable where the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        name: str,
        *,
        scopes: Iterable[KeyScope] = (KeyScope.INFERENCE,),
        requests_per_minute: int | None = None,
        secret: str | None = None,
    ) -> NewKey:
        """A new key; `secret` is given only where one was promised before (tests, seeds)."""
        granted = frozenset(scopes)
        if not granted:
            raise InvalidRequest("a key needs at least one scope", "scopes")
        if requests_per_minute is not None and requests_per_minute < 1:
            raise InvalidRequest("requests_per_minute must be at least 1", "requests_per_minute")
        secret = secret or SECRET_PREFIX + secrets.token_urlsafe(SECRET_BYTES)
        row = ApiKeyRow(
            id=uuid.uuid4().hex,
            name=name,
            prefix=secret[:VISIBLE_CHARACTERS],
            secret_sha256=_digest(secret),
            scopes=sorted(granted),
            requests_per_minute=requests_per_minute,
            created_at=datetime.now(UTC),
            revoked_at=None,
        )
        made = NewKey(_as_key(row), secret)
        with self._database.writing() as session:
            session.add(row)
        return made

    def list(self) -> tuple[ApiKey, ...]:
        """All keys, revoked ones too, oldest first."""
        with self._database.reading() as session:
            rows = session.scalars(
                select(ApiKeyRow).order_by(ApiKeyRow.created_at, ApiKeyRow.id)
            ).all()
            return tuple(_as_key(row) for row in rows)

    def revoke(self, id_or_prefix: str) -> ApiKey:
        """Revokes one key for good; again is no error. The whole secret names it too.

        Raises NotFound, InvalidRequest.
        """
        with self._database.writing() as session:
            found = session.scalars(
                select(ApiKeyRow).where(
                    (ApiKeyRow.id == id_or_prefix)
                    | (ApiKeyRow.prefix == id_or_prefix)
                    | (ApiKeyRow.secret_sha256 == _digest(id_or_prefix))
                )
            ).all()
            if not found:
                raise NotFound(f"no key has the id or prefix {id_or_prefix!r}")
            if len(found) > 1:
                raise InvalidRequest(f"several keys begin with {id_or_prefix!r}: give the id", "id")
            session.execute(
                update(ApiKeyRow)
                .where(ApiKeyRow.id == found[0].id, ApiKeyRow.revoked_at.is_(None))
                .values(revoked_at=datetime.now(UTC))
            )
            session.refresh(found[0])
            return _as_key(found[0])

    def verify(self, secret: str) -> ApiKey | None:
        """The key of this secret; None where it is unknown or revoked."""
        if not secret or len(secret) > MAX_SECRET_CHARACTERS:
            return None
        with self._database.reading() as session:
            row = session.scalars(
                select(ApiKeyRow).where(
                    ApiKeyRow.secret_sha256 == _digest(secret), ApiKeyRow.revoked_at.is_(None)
                )
            ).one_or_none()
            return _as_key(row) if row is not None else None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _as_key(row: ApiKeyRow) -> ApiKey:
    return ApiKey(
        id=row.id,
        name=row.name,
        prefix=row.prefix,
        scopes=frozenset(KeyScope(scope) for scope in row.scopes),
        requests_per_minute=row.requests_per_minute,
        created_at=row.created_at,
        revoked_at=row.revoked_at,
    )
