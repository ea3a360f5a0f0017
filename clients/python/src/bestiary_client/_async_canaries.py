"""Canaries for asyncio: `client.canaries`. Its twin is `_canaries.py`."""

from __future__ import annotations

from typing_extensions import Unpack

from bestiary_client._async_transport import AsyncTransport
from bestiary_client._canary_requests import (
    CanaryOptions,
    canary_call,
    list_canaries_call,
    move_call,
    moved,
    start_call,
)
from bestiary_client._canary_results import Canary
from bestiary_client._json import JsonObject, parse_object
from bestiary_client._pages import AsyncPages
from bestiary_client._requests import Call
from bestiary_client._tuning_replies import canary as canary_of


class AsyncCanaries:
    """Aliases whose traffic is split between a base and a candidate."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def start(
        self,
        alias: str,
        *,
        candidate: str,
        base: str | None = None,
        weight: float | None = None,
        **rules: Unpack[CanaryOptions],
    ) -> Canary:
        """From now on `alias` is the base, and for a share of requests the candidate.

        `base` may be left out where the alias means a model already. `weight`: the share, if
        not the rules' first. Raises Conflict where one runs.
        """
        return await self._read(start_call(alias, candidate, base, weight, rules))

    def list(self) -> AsyncPages[Canary]:
        """All, those that are decided too."""
        return AsyncPages(list_canaries_call(), self._fetch, canary_of)

    async def get(self, alias: str | Canary) -> Canary:
        """Raises NotFound."""
        return await self._read(canary_call("GET", alias))

    async def move(
        self, alias: str | Canary, *, weight: float | None = None, step: int | None = None
    ) -> Canary:
        """To a share, or to a step of its rules."""
        return await self._read(move_call(alias, moved(weight, step)))

    async def promote(self, alias: str | Canary) -> Canary:
        """The candidate answers everything."""
        return await self._read(move_call(alias, {"promote": True}))

    async def rollback(self, alias: str | Canary) -> Canary:
        """The base answers everything."""
        return await self._read(move_call(alias, {"rollback": True}))

    async def end(self, alias: str | Canary) -> None:
        """The alias means what it did before."""
        await self._fetch(canary_call("DELETE", alias))

    async def _read(self, call: Call) -> Canary:
        return canary_of(await self._fetch(call))

    async def _fetch(self, call: Call) -> JsonObject:
        answer = await self._transport.send(call)
        return parse_object(answer.content)
