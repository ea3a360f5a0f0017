"""A router without models: real names and policy, invented words. For tests of the gateway."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np

from bestiary.errors import BestiaryError, ContextOverflow, InvalidRequest
from bestiary.garden.card import Family, ModelCard, SamplingDefaults, Source
from bestiary.profile.applications import GatewayArgs, ServedModel
from bestiary.profile.models import (
    CardRequirement,
    Deployment,
    EncoderEngine,
    Gateway,
    InstalledCard,
    Limits,
    Profile,
    TextEngine,
    TierBinding,
)
from bestiary.schemas.encoder import EmbeddingRequest, EmbeddingResult
from bestiary.schemas.routing import RouteDecision, RouteRequest, Tier
from bestiary.schemas.text import (
    Constraint,
    ConstraintKind,
    CountTokensRequest,
    EngineTimings,
    FinishReason,
    ScoredToken,
    TextChunk,
    TextRequest,
    TextUsage,
    TokenCount,
    TokenLogprob,
    ToolCallPiece,
    ToolUse,
)
from bestiary.telemetry.metrics import CounterSink, HistogramSink
from services.router.loads import DeploymentLoad, DeploymentState
from services.router.offers import OfferedModel
from services.router.policy import RoutingPolicy
from services.router.routed_call import CallRecord

CONTEXT = 512
DIMENSIONS = 8


def text_card(card_id: str = "tiny-instruct") -> ModelCard:
    return ModelCard(
        id=card_id,
        family=Family.TEXT,
        architecture="LlamaForCausalLM",
        title="Tiny",
        parameters=1000,
        instruct=True,
        context_length=CONTEXT,
        license="Apache-2.0",
        provenance="invented",
        sources=(Source(url="file:///nowhere"),),
        sampling=SamplingDefaults(temperature=0.25, top_p=0.5, top_k=7),
    )


def encoder_card() -> ModelCard:
    return ModelCard(
        id="tiny-encoder",
        family=Family.ENCODER,
        architecture="BertModel",
        title="Tiny encoder",
        parameters=1000,
        context_length=CONTEXT,
        dimensions=DIMENSIONS,
        license="Apache-2.0",
        provenance="invented",
        sources=(Source(url="file:///nowhere"),),
    )


def gateway_args(gateway: Gateway | None = None) -> GatewayArgs:
    profile = Profile(
        name="test",
        gateway=gateway or Gateway(limits=Limits(max_body_mb=0.25)),
        deployments={
            "small": Deployment(card="tiny-instruct", text=TextEngine(context=256)),
            "large": Deployment(
                card=InstalledCard(installed=CardRequirement(min_parameters=10**9)),
                text=TextEngine(),
            ),
            "vectors": Deployment(card="tiny-encoder", encoder=EncoderEngine()),
        },
        tiers={
            Tier.GECKO: TierBinding(deployment="small"),
            Tier.BISON: TierBinding(deployment="large", fallback=(Tier.GECKO,)),
        },
        embedding="vectors",
        aliases={
            "text-bison-001": "bison",
            "chat-bison-001": "bison",
            "text-bison@001": "bison",
            "embedding-gecko-001": "tiny-encoder",
        },
    )
    return GatewayArgs(
        profile=profile,
        served=(
            ServedModel(deployment="small", family=Family.TEXT, card=text_card()),
            ServedModel(deployment="vectors", family=Family.ENCODER, card=encoder_card()),
        ),
        absent={"large": "no installed card is large enough"},
    )


def prompt_of(request: TextRequest) -> str:
    if request.messages is not None:
        return request.messages[-1].content
    if request.text is not None:
        return request.text
    return " ".join(map(str, request.token_ids or ()))


def answer_of(request: TextRequest, candidate: int) -> list[str]:
    """Words that tell the prompt back; candidates 0 and 1 say the same, later ones differ.

    An instance of its schema or a regex's first alternative, where the request has one.
    """
    if request.constraint is not None and request.constraint.kind is ConstraintKind.REGEX:
        return [request.constraint.source.strip("()").split("|")[0]]
    if request.constraint is not None and request.constraint.kind is ConstraintKind.JSON_SCHEMA:
        return [json.dumps(instance_of(json.loads(request.constraint.source)))]
    more = f" ({candidate})" if candidate > 1 else ""
    said = f"You said: {prompt_of(request)}{more}"
    for stop in request.sampling.stop:
        said = said.partition(stop)[0]
    words = said.split(" ")
    return [word if index == 0 else f" {word}" for index, word in enumerate(words)]


def instance_of(schema: Mapping[str, object]) -> object:
    """Something that matches a simple schema."""
    if isinstance(choices := schema.get("enum"), list):
        return choices[0]
    if schema.get("type") == "object":
        properties = schema.get("properties")
        assert isinstance(properties, dict | None)
        return {name: instance_of(one) for name, one in (properties or {}).items()}
    return {"integer": 7, "string": "seven", "boolean": True, "array": []}[str(schema["type"])]


def calls_of(use: ToolUse | None, prompt: str) -> tuple[ToolCallPiece, ...]:
    """A call where one is required, or the prompt speaks of a tool; in three pieces."""
    if use is None:
        return ()
    for tool in use.tools:
        if use.only == tool.name or (use.only is None and (use.required or tool.name in prompt)):
            arguments = json.dumps(instance_of(tool.parameters or {"type": "object"}))
            return (
                ToolCallPiece(0, tool.name, ""),
                ToolCallPiece(0, None, arguments[:1]),
                ToolCallPiece(0, None, arguments[1:]),
            )
    return ()


def logprob_of(word: str, top: int | None, place: int = 1) -> tuple[TokenLogprob, ...]:
    """Nothing comes before the token at place 0."""
    if top is None:
        return ()
    token = ScoredToken(len(word), word.encode(), special=False, logprob=-0.5 if place else None)
    others = [ScoredToken(n, b"other%d" % n, False, -0.25 - n) for n in range(top if place else 0)]
    return (TokenLogprob(token, len(word), tuple(others)),)


class FakeCall:
    """One token a step for every candidate, then the end."""

    def __init__(self, router: FakeDispatcher, request: TextRequest, record: CallRecord) -> None:
        self.record = record
        self.closed = 0
        self._router = router
        self._steps = self._make_steps(request)
        self._taken = 0
        self._sent_at = perf_counter()

    async def __anext__(self) -> tuple[TextChunk, ...]:
        router = self._router
        if router.fail_at is not None and self._taken == router.fail_at:
            assert router.failure is not None
            raise router.failure
        if self._taken >= router.stall_after:
            await asyncio.Event().wait()
        if router.step_s:
            await asyncio.sleep(router.step_s)
        try:
            chunks = next(self._steps)
        except StopIteration:
            raise StopAsyncIteration from None
        self._taken += 1
        self.record.call_s = perf_counter() - self._sent_at
        if self.record.first_chunk_s is None:
            self.record.first_chunk_s = self.record.call_s
        return chunks

    async def aclose(self) -> None:
        self.closed += 1

    def _make_steps(self, request: TextRequest) -> Iterator[tuple[TextChunk, ...]]:
        prompt_tokens = len(prompt_of(request).split())
        limit = CONTEXT if request.sampling.max_tokens is None else request.sampling.max_tokens
        top = request.sampling.logprobs
        calls = calls_of(request.tool_use, prompt_of(request))
        answers = [[""] if calls else answer_of(request, i) for i in range(request.candidates)]
        prompt_logprobs = [
            one
            for place, word in enumerate(prompt_of(request).split())
            for one in logprob_of(f"{word} ", top if request.echo else None, place)
        ]
        if request.echo:
            yield tuple(TextChunk(index, prompt_of(request) + " ") for index in range(len(answers)))
        last = max(range(len(answers)), key=lambda index: (len(answers[index][:limit]), index))
        longest = max(1, min(limit, len(answers[last])))
        for step in range(longest):
            chunks = []
            for index, words in enumerate(answers):
                kept = words[:limit]
                if step >= max(1, len(kept)):
                    continue
                ends = step == max(1, len(kept)) - 1
                word = kept[step] if kept else ""
                chunks.append(
                    TextChunk(
                        candidate=index,
                        text=word,
                        token_ids=(step,) if kept else (),
                        finish_reason=self._reason(words, kept, calls) if ends else None,
                        usage=TextUsage(prompt_tokens, len(kept)) if ends else None,
                        timings=self._timings() if ends and index == last else None,
                        logprobs=logprob_of(word, top) if kept else (),
                        prompt_logprobs=tuple(prompt_logprobs) if step == 0 else (),
                        tool_calls=calls,
                        # Per token the later candidates are the likelier ones.
                        cumulative_logprob=len(kept) / (index + 1) * -1.0
                        if ends and request.ranked
                        else None,
                    )
                )
            yield tuple(chunks)

    def _reason(
        self, words: list[str], kept: list[str], calls: Sequence[ToolCallPiece]
    ) -> FinishReason:
        if len(kept) < len(words):
            return FinishReason.LENGTH
        return FinishReason.TOOL_CALLS if calls else FinishReason.STOP

    def _timings(self) -> EngineTimings:
        total = perf_counter() - self._sent_at
        return EngineTimings(0.1 * total, 0.3 * total, 0.5 * total, total)


class FakeDispatcher:
    """`calls` are those that began; the rest says how they go."""

    def __init__(self, args: GatewayArgs) -> None:
        self._policy = RoutingPolicy(args.profile, args.served, args.absent)
        self.requests: list[TextRequest | EmbeddingRequest | CountTokensRequest] = []
        self.routes: list[RouteRequest] = []
        self.calls: list[FakeCall] = []
        self.refusal: BestiaryError | Exception | None = None  # raised before anything is sent
        self.fail_at: int | None = None  # raise `failure` in place of this chunk
        self.failure: BestiaryError | None = None
        self.stall_after: float = float("inf")  # chunks, then silence
        self.step_s = 0.0
        self.published: RoutingPolicy | None = None  # holds from the next look on

    async def acquaint(self, name: str) -> None:
        if self.published is not None:
            self._policy, self.published = self.published, None

    def resolve(self, route: RouteRequest) -> RouteDecision:
        return self._policy.resolve(route)

    def card(self, name: str) -> ModelCard:
        return self._policy.card(name)

    def models(self) -> tuple[OfferedModel, ...]:
        return self._policy.models()

    async def generate(self, route: RouteRequest, request: TextRequest) -> FakeCall:
        decision = self._take(route, request)
        if len(prompt_of(request).split()) > CONTEXT:
            raise ContextOverflow(f"more than {CONTEXT} tokens", "messages", 1000, CONTEXT)
        if request.constraint is not None and request.constraint.kind is ConstraintKind.REGEX:
            self._check_regex(request.constraint)
        call = FakeCall(self, request, CallRecord(decision, routing_s=1e-5))
        self.calls.append(call)
        if self.stall_after == 0:
            try:
                await asyncio.Event().wait()
            finally:
                await call.aclose()
        return call

    async def embed(
        self, route: RouteRequest, request: EmbeddingRequest
    ) -> tuple[EmbeddingResult, CallRecord]:
        decision = self._take(route, request)
        width = request.dimensions or DIMENSIONS
        vectors = np.zeros((len(request.inputs), width), dtype=np.float32)
        for row, given in enumerate(request.inputs):
            vectors[row, len(given) % width] = 1.0
        result = EmbeddingResult(
            vectors=vectors,
            prompt_tokens=tuple(len(self._tokens(given)) for given in request.inputs),
            truncated=(False,) * len(request.inputs),
            timings=EngineTimings(prefill_s=1e-4, total_s=1e-4),
        )
        return result, CallRecord(decision, routing_s=1e-5, call_s=2e-4)

    async def count_tokens(
        self, route: RouteRequest, request: CountTokensRequest
    ) -> tuple[TokenCount, CallRecord]:
        decision = self._take(route, request)
        text = request.text
        if request.messages is not None:
            text = " ".join(message.content for message in request.messages)
        count = TokenCount(tuple(range(len((text or "").split()))))
        return count, CallRecord(decision, routing_s=1e-5, call_s=1e-4)

    def _check_regex(self, constraint: Constraint) -> None:
        try:
            re.compile(constraint.source)
        except re.error as error:
            raise InvalidRequest(f"cannot be enforced: {error}", constraint.param) from error

    def _take(
        self, route: RouteRequest, request: TextRequest | EmbeddingRequest | CountTokensRequest
    ) -> RouteDecision:
        self.routes.append(route)
        self.requests.append(request)
        if self.refusal is not None:
            raise self.refusal
        return self._policy.resolve(route)

    @staticmethod
    def _tokens(given: str | tuple[int, ...]) -> list[str] | tuple[int, ...]:
        return given.split() if isinstance(given, str) else given


RUNNING: Mapping[str, DeploymentLoad] = {
    "small": DeploymentLoad(DeploymentState.RUNNING),
    "vectors": DeploymentLoad(DeploymentState.RUNNING),
}


@dataclass
class FakeSink:
    """Keeps every value by metric name."""

    values: dict[str, list[tuple[float, dict[str, str]]]] = field(default_factory=dict)

    def counter(self, name: str, description: str, tag_keys: tuple[str, ...]) -> CounterSink:
        return _Kept(self.values.setdefault(name, []), tag_keys)

    def histogram(
        self, name: str, description: str, buckets: tuple[float, ...], tag_keys: tuple[str, ...]
    ) -> HistogramSink:
        assert list(buckets) == sorted(set(buckets))
        return _Kept(self.values.setdefault(name, []), tag_keys)


class _Kept:
    def __init__(
        self, values: list[tuple[float, dict[str, str]]], tag_keys: tuple[str, ...]
    ) -> None:
        self._values = values
        self._tag_keys = tag_keys

    def inc(self, value: float, tags: dict[str, str]) -> None:
        self.observe(value, tags)

    def observe(self, value: float, tags: dict[str, str]) -> None:
        assert set(tags) == set(self._tag_keys)  # as Ray demands
        self._values.append((value, tags))


async def no_targets() -> tuple[str, ...]:
    return ()


def database_url(folder: Path) -> str:
    return f"sqlite:///{folder / 'state.db'}"
