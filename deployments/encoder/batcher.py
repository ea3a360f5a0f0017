"""Many requests on one engine: gathers, runs in a thread, hands each its own answers.

A turn is for one head; heads take turns. It takes inputs from the waiting requests of its
head in rotation, up to one batch of tokens, so that a request with thousands of inputs does
not hold up one with a single input.
Knows neither text nor Ray. All methods run on one event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Generic, TypeVar, cast

from bestiary.errors import DeadlineExceeded, EngineFailure, Overloaded
from bestiary.schemas.replica import ReplicaLoad
from deployments.encoder.heads import Head
from deployments.kernels.encoder_session import EncoderText
from deployments.turn_task import TurnTask

Answer = TypeVar("Answer")
Run = Callable[[Head[object], Sequence[EncoderText]], Sequence[object]]

SPEED_MEMORY = 0.8  # share of the old estimate that a new measurement of speed leaves
GUESSED_TOKENS_PER_S = 2000.0  # until something was measured
SHORTEST_RETRY_S = 0.1


@dataclass(frozen=True, slots=True)
class BatcherLimits:
    max_batch_tokens: int
    max_wait_s: float  # how long a turn gathers when nothing runs
    max_requests: int  # waiting and running; over it a request is refused


@dataclass(frozen=True, slots=True)
class Answered(Generic[Answer]):
    """One answer for each input; `queue_s` + `run_s` is the time since arrival."""

    answers: Sequence[Answer]
    queue_s: float
    run_s: float


@dataclass(slots=True, eq=False)
class _Request:
    head: Head[object]
    inputs: Sequence[EncoderText]
    answer: asyncio.Future[Answered[object]]
    arrived: float
    waiting: deque[int]  # positions, longest input first
    waiting_tokens: int
    running: int = 0  # inputs in the turn that is under way
    answers: dict[int, object] = field(default_factory=dict)  # by position, turn by turn
    run_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _Taken:
    request: _Request
    position: int


class Batcher(TurnTask):
    """`start` before use, `stop` after. `executor` should have one thread."""

    def __init__(self, run: Run, limits: BatcherLimits, executor: Executor) -> None:
        super().__init__()
        self._run_engine = run
        self._limits = limits
        self._executor = executor
        self._requests: deque[_Request] = deque()
        self._arrival = asyncio.Event()
        self._tokens_per_s = GUESSED_TOKENS_PER_S
        self._turn = 0
        self._last_turn_of: dict[Head[object], int] = {}

    async def run(
        self, head: Head[Answer], inputs: Sequence[EncoderText], deadline_s: float | None = None
    ) -> Answered[Answer]:
        """Raises Overloaded, DeadlineExceeded and EngineFailure. Cancelling withdraws it."""
        if len(self._requests) >= self._limits.max_requests:
            raise Overloaded(
                f"{len(self._requests)} requests are waiting",
                max(SHORTEST_RETRY_S, self._expected_wait_s()),
            )
        request = _Request(
            head=head,
            inputs=inputs,
            answer=asyncio.get_running_loop().create_future(),
            arrived=time.perf_counter(),
            waiting=deque(sorted(range(len(inputs)), key=lambda i: -len(inputs[i].ids))),
            waiting_tokens=_tokens_of(inputs),
        )
        self._requests.append(request)
        self._arrival.set()
        try:
            async with asyncio.timeout(deadline_s):
                # The engine gave what the request's own head answers.
                return cast("Answered[Answer]", await request.answer)
        except TimeoutError as error:
            raise DeadlineExceeded(f"no answer within {deadline_s} s") from error
        finally:
            self._forget(request)

    def load(self) -> ReplicaLoad:
        running = sum(request.running > 0 for request in self._requests)
        return ReplicaLoad(
            running=running,
            waiting=len(self._requests) - running,
            slots=self._limits.max_requests,
            queue_wait_s=self._expected_wait_s(),
        )

    def _fail_everyone(self, error: EngineFailure) -> None:
        for request in self._requests:
            _fail(request, error)
        self._requests.clear()

    async def _take_turns(self) -> None:
        while True:
            await self._gathered()
            taken = self._take()
            if taken:
                await self._run(taken)

    async def _gathered(self) -> None:
        """Returns when there is something to run, after a short wait for company."""
        if self._waiting_tokens() > 0:
            return  # what came during the last turn has waited long enough
        self._arrival.clear()
        await self._arrival.wait()
        until = time.perf_counter() + self._limits.max_wait_s
        while self._waiting_tokens() < self._limits.max_batch_tokens:
            self._arrival.clear()
            try:
                async with asyncio.timeout(max(0.0, until - time.perf_counter())):
                    await self._arrival.wait()
            except TimeoutError:
                return

    def _take(self) -> list[_Taken]:
        """One input of each waiting request of a head in turn, until a batch is full."""
        taken: list[_Taken] = []
        room = self._limits.max_batch_tokens
        head = self._next_head()
        rotation = deque(one for one in self._requests if one.waiting and one.head == head)
        while rotation:
            request = rotation.popleft()
            position = request.waiting[0]
            tokens = len(request.inputs[position].ids)
            if taken and tokens > room:
                break
            room -= tokens
            request.waiting.popleft()
            request.waiting_tokens -= tokens
            request.running += 1
            taken.append(_Taken(request, position))
            if request.waiting:
                rotation.append(request)
        return taken

    def _next_head(self) -> Head[object] | None:
        """Of those that are waited for, the one whose last turn is the longest ago."""
        waiting = dict.fromkeys(request.head for request in self._requests if request.waiting)
        head = min(waiting, key=lambda one: self._last_turn_of.get(one, 0), default=None)
        if head is not None:
            self._turn += 1
            self._last_turn_of[head] = self._turn
        return head

    async def _run(self, taken: list[_Taken]) -> None:
        inputs = [one.request.inputs[one.position] for one in taken]
        requests = dict.fromkeys(one.request for one in taken)
        started = time.perf_counter()
        try:
            answers = await asyncio.get_running_loop().run_in_executor(
                self._executor, self._run_engine, taken[0].request.head, inputs
            )
        except Exception as error:  # noqa: BLE001 - a broken run fails its own requests only
            for request in requests:
                _fail(request, EngineFailure(f"the encoder failed: {error}"))
            return
        took = time.perf_counter() - started
        self._measured(_tokens_of(inputs), took)
        for request in requests:
            request.running = 0
            request.run_s += took
        for one, answer in zip(taken, answers, strict=True):
            one.request.answers[one.position] = answer
        for request in requests:
            _finish(request)

    def _measured(self, tokens: int, took: float) -> None:
        speed = tokens / max(took, 1e-6)
        self._tokens_per_s = SPEED_MEMORY * self._tokens_per_s + (1 - SPEED_MEMORY) * speed

    def _waiting_tokens(self) -> int:
        return sum(request.waiting_tokens for request in self._requests)

    def _expected_wait_s(self) -> float:
        return self._waiting_tokens() / self._tokens_per_s

    def _forget(self, request: _Request) -> None:
        _withdraw(request)
        if request in self._requests:
            self._requests.remove(request)


def _tokens_of(inputs: Sequence[EncoderText]) -> int:
    return sum(len(text.ids) for text in inputs)


def _finish(request: _Request) -> None:
    if len(request.answers) < len(request.inputs) or request.answer.done():
        return
    answers = [request.answers[position] for position in range(len(request.inputs))]
    since_arrival = time.perf_counter() - request.arrived
    request.answer.set_result(Answered(answers, since_arrival - request.run_s, request.run_s))


def _fail(request: _Request, error: EngineFailure) -> None:
    _withdraw(request)
    request.running = 0
    if not request.answer.done():
        request.answer.set_exception(error)


def _withdraw(request: _Request) -> None:
    request.waiting.clear()
    request.waiting_tokens = 0
