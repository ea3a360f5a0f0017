"""Lists that come in pages: `{data, has_more, last_id}`, the next one `?after=<last_id>`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Generic, TypeVar

from bestiary_client._errors import UnexpectedReply
from bestiary_client._json import JsonObject, get_objects, get_optional
from bestiary_client._requests import Call

T = TypeVar("T")


class Pages(Generic[T]):
    """All items, page after page; each page is fetched when it is needed."""

    def __init__(
        self, call: Call, fetch: Callable[[Call], JsonObject], parse: Callable[[JsonObject], T]
    ) -> None:
        self._call = call
        self._fetch = fetch
        self._parse = parse

    def __iter__(self) -> Iterator[T]:
        call: Call | None = self._call
        while call is not None:
            page = self._fetch(call)
            yield from map(self._parse, get_objects(page, "data"))
            call = next_page(call, page)


class AsyncPages(Generic[T]):
    """As `Pages`, for `async for`."""

    def __init__(
        self,
        call: Call,
        fetch: Callable[[Call], Awaitable[JsonObject]],
        parse: Callable[[JsonObject], T],
    ) -> None:
        self._call = call
        self._fetch = fetch
        self._parse = parse

    async def __aiter__(self) -> AsyncIterator[T]:
        call: Call | None = self._call
        while call is not None:
            page = await self._fetch(call)
            for item in get_objects(page, "data"):
                yield self._parse(item)
            call = next_page(call, page)


def next_page(call: Call, page: JsonObject) -> Call | None:
    """None after the last one. Raises UnexpectedReply where the list would never end."""
    if not get_optional(page, "has_more", bool):
        return None
    last_id = get_optional(page, "last_id", str)
    if last_id is None or last_id == call.params.get("after"):
        raise UnexpectedReply("the list says that it has more, but not where")
    return replace(call, params={**call.params, "after": last_id})
