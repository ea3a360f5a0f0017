"""The platform's metrics, each defined once: name, meaning, labels, buckets.

Names follow vLLM's (K8S notes), under the prefix `bestiary_`. Labels are bounded:
models, tiers and dialects are what the profile names, `status` is an HTTP status.
Where the numbers go is a `MetricSink`'s business: `ray_sink.py` in the platform, a
list in tests. Each value is recorded once per request, at its end; nothing is
recorded per token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from bestiary.schemas.routing import RouteDecision
from bestiary.telemetry.receipt import LatencyReceipt

PREFIX = "bestiary_"
UNKNOWN = "unknown"  # the label of what never got a model or tier

# Seconds. Fine where people notice (10 ms to 1 s), coarse up to the request deadline.
LATENCY_BUCKETS = (
    0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75,
    1.0, 1.5, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0,
)  # fmt: skip
# Seconds. The gateway's and the router's own work is a matter of microseconds.
OVERHEAD_BUCKETS = (
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05,
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
)  # fmt: skip
TOKEN_BUCKETS = (
    0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2,
    0.3, 0.5, 0.75, 1.0, 2.5,
)  # fmt: skip

_SERVED = ("model", "tier", "dialect")


class CounterSink(Protocol):
    def inc(self, value: float, tags: dict[str, str]) -> None: ...


class HistogramSink(Protocol):
    def observe(self, value: float, tags: dict[str, str]) -> None: ...


class MetricSink(Protocol):
    """Where metrics are made. Each name is asked for once per process."""

    def counter(self, name: str, description: str, tag_keys: tuple[str, ...]) -> CounterSink: ...

    def histogram(
        self, name: str, description: str, buckets: tuple[float, ...], tag_keys: tuple[str, ...]
    ) -> HistogramSink: ...


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """What one finished request tells the metrics. Times in seconds, None where it never came."""

    dialect: str
    status: int  # what the client was told; mid-stream errors by their own status; 499: it left
    receipt: LatencyReceipt
    decision: RouteDecision | None = None
    answered: bool = False  # the model worked: the engine's stages are real
    first_token_s: float | None = None  # from arrival at the gateway
    inter_token_s: float | None = None  # mean over the request
    prompt_tokens: int = 0
    generation_tokens: int = 0
    images: int = 0  # that were made


class RequestMetrics:
    """Counts and times every request that the gateway answers."""

    def __init__(self, sink: MetricSink) -> None:
        self._requests = sink.counter(
            PREFIX + "requests_total", "Requests by their outcome", (*_SERVED, "status")
        )
        self._routes = sink.counter(
            PREFIX + "routes_total",
            "Routing decisions: what was asked for, which tier answers, why",
            ("asked", "tier", "reason"),
        )
        self._prompt_tokens = sink.counter(
            PREFIX + "prompt_tokens_total", "Prompt tokens processed", _SERVED
        )
        self._generation_tokens = sink.counter(
            PREFIX + "generation_tokens_total", "Tokens generated", _SERVED
        )
        self._images = sink.counter(PREFIX + "images_total", "Pictures made for callers", _SERVED)
        self._end_to_end = sink.histogram(
            PREFIX + "e2e_request_latency_seconds",
            "Arrival at the gateway to the last byte handed over",
            LATENCY_BUCKETS,
            _SERVED,
        )
        self._first_token = sink.histogram(
            PREFIX + "time_to_first_token_seconds",
            "Arrival at the gateway to the first tokens",
            LATENCY_BUCKETS,
            _SERVED,
        )
        self._inter_token = sink.histogram(
            PREFIX + "inter_token_latency_seconds",
            "Time between tokens, the mean of one request",
            TOKEN_BUCKETS,
            _SERVED,
        )
        self._stages = {
            stage: sink.histogram(
                f"{PREFIX}request_{stage}_time_seconds", description, buckets, _SERVED
            )
            for stage, description, buckets in (
                ("gateway", "Time in the gateway's own code", OVERHEAD_BUCKETS),
                ("routing", "Time to choose tier and model", OVERHEAD_BUCKETS),
                ("framework", "Time between gateway and engine: Serve's hop", OVERHEAD_BUCKETS),
                ("queue", "Wait in the engine's queue", LATENCY_BUCKETS),
                ("prefill", "Prompt processing", LATENCY_BUCKETS),
                ("decode", "Token generation", LATENCY_BUCKETS),
            )
        }

    def record(self, request: RequestRecord) -> None:
        tags = _labels(request)
        self._requests.inc(1, {**tags, "status": str(request.status)})
        self._end_to_end.observe(request.receipt.total / 1e3, tags)
        self._stages["gateway"].observe(request.receipt.gateway / 1e3, tags)
        if request.decision is not None:
            self._count_route(request.decision)
            self._stages["routing"].observe(request.receipt.routing / 1e3, tags)
        if request.answered:
            for stage in ("framework", "queue", "prefill", "decode"):
                self._stages[stage].observe(getattr(request.receipt, stage) / 1e3, tags)
        if request.first_token_s is not None:
            self._first_token.observe(request.first_token_s, tags)
        if request.inter_token_s is not None:
            self._inter_token.observe(request.inter_token_s, tags)
        if request.prompt_tokens:
            self._prompt_tokens.inc(request.prompt_tokens, tags)
        if request.generation_tokens:
            self._generation_tokens.inc(request.generation_tokens, tags)
        if request.images:
            self._images.inc(request.images, tags)

    def _count_route(self, decision: RouteDecision) -> None:
        # `asked` was resolved, so it is a name that the profile knows.
        self._routes.inc(
            1,
            {
                "asked": decision.asked,
                "tier": decision.tier or UNKNOWN,
                "reason": decision.reason.value,
            },
        )


def _labels(request: RequestRecord) -> dict[str, str]:
    decision = request.decision
    return {
        "model": decision.model if decision else UNKNOWN,
        "tier": (decision.tier if decision else None) or UNKNOWN,
        "dialect": request.dialect,
    }


class _Nothing:
    def inc(self, value: float, tags: Mapping[str, str]) -> None:
        """Not counted."""

    def observe(self, value: float, tags: Mapping[str, str]) -> None:
        """Not measured."""


class NoMetrics:
    """A `MetricSink` that keeps nothing."""

    def counter(self, name: str, description: str, tag_keys: tuple[str, ...]) -> CounterSink:
        return _Nothing()

    def histogram(
        self, name: str, description: str, buckets: tuple[float, ...], tag_keys: tuple[str, ...]
    ) -> HistogramSink:
        return _Nothing()
