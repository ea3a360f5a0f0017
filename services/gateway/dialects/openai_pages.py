"""Lists that OpenAI's API gives page by page: `after` and `limit` in, `has_more` and ids out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from starlette.requests import Request

from bestiary.errors import InvalidRequest

T = TypeVar("T")


def limit_of(request: Request, default: int, most: int) -> int:
    """The query's `limit`. Raises InvalidRequest."""
    given = request.query_params.get("limit")
    if given is None:
        return default
    limit = int(given) if given.isascii() and given.isdigit() and len(given) < 10 else 0
    if not 1 <= limit <= most:
        raise InvalidRequest(f"limit must be a whole number from 1 to {most}", "limit")
    return limit


def after_of(request: Request) -> str | None:
    """The query's `after`: the last id of the page before."""
    return request.query_params.get("after") or None


def page_json(
    data: Sequence[T], has_more: bool, write: Callable[[T], dict[str, object]]
) -> dict[str, object]:
    """`write` puts each one's `id` into its document."""
    documents = [write(one) for one in data]
    return {
        "object": "list",
        "data": documents,
        "has_more": has_more,
        "first_id": documents[0]["id"] if documents else None,
        "last_id": documents[-1]["id"] if documents else None,
    }
