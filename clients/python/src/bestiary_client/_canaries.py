"""Canaries, blocking: `client.canaries`. Its twin is `_async_canaries.py`."""

from __future__ import annotations

from typing_extensions import Unpack

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
from bestiary_client._pages import Pages
from bestiary_client._requests import Call
from bestiary_client._transport import Transport
from bestiary_client._tuning_replies import canary as canary_of


class Canaries:
    """Aliases whose traffic is split between a base and a candidate."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def start(
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
        return self._read(start_call(alias, candidate, base, weight, rules))

    def list(self) -> Pages[Canary]:
        """All, those that are decided too."""
        return Pages(list_canaries_call(), self._fetch, canary_of)

    def get(self, alias: str | Canary) -> Canary:
        """Raises NotFound."""
        return self._read(canary_call("GET", alias))

    def move(
        self, alias: str | Canary, *, weight: float | None = None, step: int | None = None
    ) -> Canary:
        """To a share, or to a step of its rules."""
        return self._read(move_call(alias, moved(weight, step)))

    def promote(self, alias: str | Canary) -> Canary:
        """The candidate answers everything."""
        return self._read(move_call(alias, {"promote": True}))

    def rollback(self, alias: str | Canary) -> Canary:
        """The base answers everything."""
        return self._read(move_call(alias, {"rollback": True}))

    def end(self, alias: str | Canary) -> None:
        """The alias means what it did before."""
        self._fetch(canary_call("DELETE", alias))

    def _read(self, call: Call) -> Canary:
        return canary_of(self._fetch(call))

    def _fetch(self, call: Call) -> JsonObject:
        return parse_object(self._transport.send(call).content)
