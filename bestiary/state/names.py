"""Ids that are made here, and text that a database can hold."""

from __future__ import annotations

import secrets


def new_id(prefix: str) -> str:
    """`prefix` and 96 random bits."""
    return f"{prefix}-{secrets.token_hex(12)}"


def storable(text: str) -> bool:
    """Whether both databases take it; PostgreSQL has no NUL, and neither has lone surrogates.

    Text that is not storable names nothing, so a lookup by it finds nothing.
    """
    return "\0" not in text and text.encode("utf-8", "replace").decode() == text


def made_storable(text: str) -> str:
    """The text with a sign in place of each character that no database holds."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
