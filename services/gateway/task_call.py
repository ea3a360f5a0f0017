"""The call to a model that answers one task's request piece by piece. Knows no wire."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from typing import Generic, Protocol, TypeVar

from bestiary.errors import EngineFailure
from bestiary.schemas.routing import RouteDecision
from bestiary.schemas.text import EngineTimings
from services.gateway.dispatch import Call
from services.gateway.exchange import Exchange
from services.gateway.generation import Endings


class Piece(Protocol):
    @property
    def index(self) -> int:
        """Of the input or picture that it belongs to."""
        ...

    @property
    def timings(self) -> EngineTimings | None:
        """The last of all has them."""
        ...


PieceT = TypeVar("PieceT", bound=Piece)


class TaskCall(ABC, Generic[PieceT]):
    """Iterate `pieces`; then `aclose`, in a `finally`."""

    def __init__(self, exchange: Exchange, call: Call[PieceT], endings: Endings) -> None:
        self._exchange = exchange
        self._call = call
        self._endings = endings
        self._timings: EngineTimings | None = None  # None: not complete

    @abstractmethod
    def _note(self, piece: PieceT) -> None:
        """Keeps what the answer and the exchange's counts are made of."""

    @property
    def decision(self) -> RouteDecision:
        return self._call.record.decision

    async def pieces(self) -> AsyncGenerator[tuple[int, PieceT], None]:
        """Until the answer is complete. Raises what the call raises."""
        try:
            while self._timings is None:
                try:
                    piece = await self._call.__anext__()
                except StopAsyncIteration:
                    raise EngineFailure("a stream ended before its answer was complete") from None
                self._note(piece)
                if piece.timings is not None:
                    self._timings = piece.timings
                    self._exchange.engine_answered(piece.timings)
                yield piece.index, piece
        finally:
            self._exchange.dispatch_ends()

    async def aclose(self) -> None:
        """Stops what still runs. A call that is complete is let end by itself."""
        if self._timings is None:
            await self._call.aclose()
        else:
            self._endings.let_end(self._call)
