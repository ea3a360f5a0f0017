"""Sends a request to the deployment that the policy picks, and tries again where that helps.

Thin: the rules are in `policy.py` and `attempts.py`, Ray's shapes in `model_handle.py`
and `serve_errors.py`, what is published in `live_rules.py`. Every error that leaves here is a
`BestiaryError`. Nothing is retried once a chunk has been delivered. A request keeps the policy
that it began with, whatever is published meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from bestiary.errors import BestiaryError, DeadlineExceeded, ReplicaLost
from bestiary.garden.card import ModelCard
from bestiary.schemas.encoder import EmbeddingRequest, EmbeddingResult
from bestiary.schemas.image import ImageChunk, PictureRequest
from bestiary.schemas.routing import RouteDecision, RouteReason, RouteRequest
from bestiary.schemas.seq2seq import Seq2SeqChunk, Seq2SeqRequest
from bestiary.schemas.text import (
    Adapter,
    CountTokensRequest,
    TextChunk,
    TextRequest,
    TokenCount,
)
from services.router.arms import Arms, Outcome
from services.router.attempts import Attempts
from services.router.load_board import LoadBoard
from services.router.model_handle import HandleFor, ModelHandle, Reply, ReplyStream
from services.router.offers import OfferedModel
from services.router.replica_methods import Q, ReplicaMethod
from services.router.routed_call import CallRecord, Clock, Deadline, RoutedCall
from services.router.rules import Rules
from services.router.serve_errors import translated

R = TypeVar("R")
Chunks = tuple[TextChunk, ...]
Send = Callable[[ModelHandle, RouteDecision], R]
DEFAULT_DEADLINE_S = 600.0


class Dispatcher:
    """One per gateway replica. `default_deadline_s` holds where a request brings none.

    `arms` learns how requests to names with a canary ended, counts of tokens left out.
    """

    def __init__(
        self,
        rules: Rules,
        board: LoadBoard,
        handle_for: HandleFor,
        *,
        arms: Arms | None = None,
        clock: Clock = time.perf_counter,
        default_deadline_s: float = DEFAULT_DEADLINE_S,
    ) -> None:
        self._rules = rules
        self._board = board
        self._handle_for = handle_for
        self._arms = arms
        self._clock = clock
        self._default_deadline_s = default_deadline_s

    def resolve(self, route: RouteRequest) -> RouteDecision:
        """Who answers while nothing is loaded. Raises as `RoutingPolicy.resolve`."""
        return self._rules.now.resolve(route)

    async def acquaint(self, name: str) -> None:
        """Before any of the others that do not wait: `name` may have been published just now."""
        await self._rules.knowing(name)

    def card(self, name: str) -> ModelCard:
        """The card behind any offered name. Raises ModelNotFound or CardNotInstalled."""
        return self._rules.now.card(name)

    def models(self) -> tuple[OfferedModel, ...]:
        """Every name that is offered: `auto`, tiers, cards (published ones too), aliases."""
        return self._rules.now.models()

    async def generate(self, route: RouteRequest, request: TextRequest) -> RoutedCall[Chunks]:
        """Returns once the first chunk is here. Close the call in a `finally`.

        Raises as `RoutingPolicy.decide`, and ReplicaLost, DeadlineExceeded, EngineFailure,
        or what the engine raised (ContextOverflow, ...).
        """

        def send(handle: ModelHandle, decision: RouteDecision) -> ReplyStream[Chunks]:
            return handle.generate(_adapted(request, decision.adapter))

        return await self._open(route, request.deadline_s, send)

    async def stream(
        self, route: RouteRequest, request: Seq2SeqRequest
    ) -> RoutedCall[Seq2SeqChunk]:
        """As `generate`, by an encoder-decoder."""
        return await self._open(route, request.deadline_s, lambda handle, _: handle.stream(request))

    async def generate_images(
        self, route: RouteRequest, request: PictureRequest
    ) -> RoutedCall[ImageChunk]:
        """As `generate`, by an image model."""
        return await self._open(
            route, request.deadline_s, lambda handle, _: handle.generate_images(request)
        )

    async def ask(
        self, route: RouteRequest, method: ReplicaMethod[Q, R], request: Q
    ) -> tuple[R, CallRecord]:
        """A whole answer. Raises as `generate`."""
        return await self._ask(
            route, request.deadline_s, lambda handle, _: handle.ask(method, request)
        )

    async def embed(
        self, route: RouteRequest, request: EmbeddingRequest
    ) -> tuple[EmbeddingResult, CallRecord]:
        """Raises as `generate`."""
        return await self._ask(route, request.deadline_s, lambda handle, _: handle.embed(request))

    async def count_tokens(
        self, route: RouteRequest, request: CountTokensRequest
    ) -> tuple[TokenCount, CallRecord]:
        """Raises as `generate`."""
        return await self._ask(
            route, None, lambda handle, _: handle.count_tokens(request), counts=False
        )

    async def _ask(
        self,
        route: RouteRequest,
        deadline_s: float | None,
        send: Send[Reply[R]],
        *,
        counts: bool = True,
    ) -> tuple[R, CallRecord]:
        entered = self._clock()
        deadline = self._deadline(entered, deadline_s)
        attempts, outcome = await self._begin(route, counts)
        with outcome.no_answer():
            while True:
                decision = self._next(attempts)
                record = CallRecord(decision, routing_s=self._clock() - entered)
                try:
                    result = await self._reply(record, deadline, send)
                except BestiaryError as error:
                    attempts.failed(decision, error)
                else:
                    outcome.ended(None, record.first_chunk_s)
                    return result, record

    async def _open(
        self, route: RouteRequest, deadline_s: float | None, send: Send[ReplyStream[R]]
    ) -> RoutedCall[R]:
        entered = self._clock()
        deadline = self._deadline(entered, deadline_s)
        attempts, outcome = await self._begin(route)
        with outcome.no_answer():
            while True:
                decision = self._next(attempts)
                try:
                    return await self._stream(decision, send, entered, deadline, outcome)
                except BestiaryError as error:
                    attempts.failed(decision, error)

    async def _begin(self, route: RouteRequest, counts: bool = True) -> tuple[Attempts, Outcome]:
        policy = await self._rules.knowing(route.model)
        arm = policy.arm(route) if counts and self._arms is not None else None
        return Attempts(policy, route, self._board.snapshot), Outcome(self._arms, arm)

    async def _stream(
        self,
        decision: RouteDecision,
        send: Send[ReplyStream[R]],
        entered: float,
        deadline: Deadline,
        outcome: Outcome,
    ) -> RoutedCall[R]:
        with translated():
            handle = self._handle_for(decision.deployment)
            sent_at = self._clock()
            record = CallRecord(decision, routing_s=sent_at - entered)
            stream = send(handle, decision)
        self._board.sent(decision.deployment)

        def ended(error: BestiaryError | None) -> None:
            self._ended(decision.deployment, error)
            if error is None or record.first_chunk_s is not None:  # else it may be tried again
                outcome.ended(error, record.first_chunk_s)

        call = RoutedCall(stream, record, deadline, sent_at, ended)
        await call.start()
        return call

    async def _reply(self, record: CallRecord, deadline: Deadline, send: Send[Reply[R]]) -> R:
        decision = record.decision
        failure: BestiaryError | None = None
        sent_at = self._clock()
        with translated():
            reply = send(self._handle_for(decision.deployment), decision)
        self._board.sent(decision.deployment)
        done = False
        try:
            async with deadline.timeout():
                with translated():
                    result = await reply
            done = True
        except TimeoutError:
            raise DeadlineExceeded("the request's deadline passed") from None
        except BestiaryError as error:
            failure = error
            raise
        finally:
            if not done:
                reply.cancel()
            self._ended(decision.deployment, failure)
        record.call_s = record.first_chunk_s = self._clock() - sent_at
        return result

    def _next(self, attempts: Attempts) -> RouteDecision:
        decision = attempts.next()
        if decision.reason is RouteReason.SPILLOVER_COLD:
            # The stand-in answers this one; without a call the asked one would stay at zero.
            self._board.wake(attempts.asked().deployment)
        return decision

    def _ended(self, deployment: str, error: BestiaryError | None) -> None:
        self._board.finished(deployment)
        if isinstance(error, ReplicaLost):
            self._board.died(deployment)

    def _deadline(self, entered: float, deadline_s: float | None) -> Deadline:
        return Deadline(entered + (deadline_s or self._default_deadline_s), self._clock)


def _adapted(request: TextRequest, adapter: Adapter | None) -> TextRequest:
    return request if adapter is None else request.model_copy(update={"adapter": adapter})
