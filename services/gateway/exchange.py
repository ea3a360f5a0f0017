"""One HTTP exchange: its id, its clock, who asks, and what became of it.

Made by the outermost middleware, carried in the ASGI scope. Knows no dialect's wire.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from starlette.requests import Request

from bestiary.errors import BestiaryError
from bestiary.schemas.routing import RouteDecision
from bestiary.schemas.text import EngineTimings, Priority
from bestiary.state.keys import ApiKey
from services.gateway.dialects.base import Dialect
from services.router.routed_call import CallRecord

_KEY = "bestiary.exchange"


@dataclass(slots=True, eq=False)
class Exchange:
    """Times are seconds of `perf_counter`."""

    request_id: str
    dialect: Dialect
    deadline: float  # when the answer must be complete; later only by being moved nearer
    strict: bool = False  # the caller forbids fallback and spillover
    priority: Priority = Priority.INTERACTIVE  # whether it gives way where rows are short
    body_receipt: bool = False  # the caller wants the receipt in the body too
    arrived: float = field(default_factory=perf_counter)
    caller: ApiKey | None = None
    error: BestiaryError | None = None  # what the caller was told in place of an answer
    headers: dict[str, str] = field(default_factory=dict)  # for the response
    dispatched: float | None = None  # the router was called
    returned: float | None = None  # the router's last word
    records: list[CallRecord] = field(default_factory=list)
    timings: EngineTimings | None = None  # of the slowest call; None: no engine answered
    first_token: float | None = None
    last_token: float | None = None
    longest_generation: int = 0  # tokens of the longest candidate
    prompt_tokens: int = 0
    generation_tokens: int = 0
    images: int = 0  # that were made

    @property
    def slowest(self) -> CallRecord | None:
        """The call that the receipt tells of, where one request needed several at once."""
        return max(self.records, key=lambda record: record.call_s, default=None)

    @property
    def decision(self) -> RouteDecision | None:
        return self.records[0].decision if self.records else None

    @property
    def tenant(self) -> str:
        """Whom the work is done for; a key's owner, where there is one."""
        return self.caller.id if self.caller is not None else ""

    def remaining_s(self) -> float:
        """Seconds to the deadline; never under a millisecond, for fields that must be positive."""
        return max(0.001, self.deadline - perf_counter())

    def dispatch_begins(self) -> None:
        if self.dispatched is None:
            self.dispatched = perf_counter()

    def dispatch_ends(self) -> None:
        self.returned = perf_counter()

    def tokens_came(self) -> None:
        self.last_token = perf_counter()
        if self.first_token is None:
            self.first_token = self.last_token

    def engine_answered(self, timings: EngineTimings) -> None:
        if self.timings is None or timings.total_s > self.timings.total_s:
            self.timings = timings


def put_exchange(scope: MutableMapping[str, Any], exchange: Exchange) -> None:
    scope[_KEY] = exchange


def exchange_of(request: Request) -> Exchange:
    exchange = request.scope[_KEY]
    if not isinstance(exchange, Exchange):
        raise TypeError("the request did not come through the gateway's middleware")
    return exchange
