"""What the dashboard shows, as data: rows of panels, each with its PromQL and why it is there.

Knows metric names and PromQL, nothing of Grafana's JSON. The names follow vLLM's
(https://docs.vllm.ai/en/latest/usage/metrics.html) under the prefix `bestiary_`.
"""

from __future__ import annotations

from dataclasses import dataclass

STAGES = ("gateway", "routing", "queue", "prefill", "decode", "framework")
QUANTILES = (0.5, 0.95, 0.99)
WINDOW = "$__rate_interval"
# Multi-value variables of the dashboard; "All" is `.*`, which an absent label matches too.
REQUEST = 'tier=~"$tier",model=~"$model"'
MODEL = 'model=~"$model"'
TIER = 'tier=~"$tier"'


@dataclass(frozen=True, slots=True)
class Query:
    expression: str
    legend: str


@dataclass(frozen=True, slots=True)
class Graph:
    """`unit` as Grafana names units; `width` in 24ths of the page."""

    title: str
    why: str
    unit: str
    queries: tuple[Query, ...]
    width: int = 8
    stacked: bool = False
    number: bool = False  # the latest value in large letters


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    graphs: tuple[Graph, ...]


def rows() -> tuple[Row, ...]:
    """Top to bottom, as an on-call engineer asks: is it up, how slow, where, why, how full."""
    return (
        Row("At a glance", _numbers()),
        Row("Requests: rate, errors, duration", _requests()),
        Row("Tokens: how it feels", _tokens()),
        Row("Where the time goes", _stages()),
        Row("How full it is", _saturation()),
        Row("Routing", _routing()),
    )


def _numbers() -> tuple[Graph, ...]:
    ttft = _quantile(0.95, "bestiary_time_to_first_token_seconds", ())
    return (
        _number("Requests per second", "reqps", _rate_of("bestiary_requests_total"), "All tiers."),
        _number("Errors", "percentunit", _server_errors(), "Share of answers that are 5xx."),
        _number("TTFT p95", "s", ttft, "Time to first token."),
        _number(
            "Tokens per second",
            "short",
            _rate_of("bestiary_generation_tokens_total"),
            "Generated.",
        ),
    )


def _requests() -> tuple[Graph, ...]:
    by = "sum by ({}) (rate(bestiary_requests_total{{{}}}[{}]))".format
    failed = f'{REQUEST},status!~"2.."'
    return (
        Graph(
            "Request rate by tier",
            "Answers per second, whatever their status.",
            "reqps",
            (Query(by("tier", REQUEST, WINDOW), "{{tier}}"),),
        ),
        Graph(
            "Request rate by status",
            "HTTP status of the answers.",
            "reqps",
            (Query(by("status", REQUEST, WINDOW), "{{status}}"),),
            stacked=True,
        ),
        Graph(
            "Errors by code",
            "Answers that are not 2xx: 4xx are callers, 429 overload, 499 hung up, 5xx is us.",
            "reqps",
            (Query(by("status, tier", failed, WINDOW), "{{status}} {{tier}}"),),
            stacked=True,
        ),
        Graph(
            "End-to-end latency",
            "From the request's first byte to the answer's last.",
            "s",
            _quantiles("bestiary_e2e_request_latency_seconds"),
            width=12,
        ),
        Graph(
            "End-to-end latency p95 by dialect",
            "A dialect that is slower than the others costs time in the gateway.",
            "s",
            (
                Query(
                    _quantile(0.95, "bestiary_e2e_request_latency_seconds", ("dialect",)),
                    "{{dialect}}",
                ),
            ),
            width=12,
        ),
    )


def _tokens() -> tuple[Graph, ...]:
    prompt = _rate_of("bestiary_prompt_tokens_total", "model")
    generated = _rate_of("bestiary_generation_tokens_total", "model")
    return (
        Graph(
            "Time to first token",
            "What a person waits before anything shows.",
            "s",
            _quantiles("bestiary_time_to_first_token_seconds"),
        ),
        Graph(
            "Inter-token latency",
            "Between two tokens of one stream; over 100 ms is slower than people read.",
            "s",
            _quantiles("bestiary_inter_token_latency_seconds"),
        ),
        Graph(
            "Tokens per second",
            "Prompt tokens are prefill work, generated ones decode work.",
            "short",
            (Query(generated, "{{model}} generated"), Query(prompt, "{{model}} prompt")),
        ),
        Graph(
            "Time to first token p95 by tier",
            "Against the tier's `ttft_p95_target_ms`.",
            "s",
            (
                Query(
                    _quantile(0.95, "bestiary_time_to_first_token_seconds", ("tier",)), "{{tier}}"
                ),
            ),
            width=24,
        ),
    )


def _stages() -> tuple[Graph, ...]:
    requests = f"sum(rate(bestiary_e2e_request_latency_seconds_count{{{REQUEST}}}[{WINDOW}]))"
    mean = tuple(Query(f"{_spent(stage)} / {requests}", stage) for stage in STAGES)
    return (
        Graph(
            "Mean time per request, by stage",
            "The latency receipt's stages; together they are the end-to-end latency.",
            "s",
            mean,
            width=12,
            stacked=True,
        ),
        Graph(
            "Queue time",
            "How long requests waited for a slot in a batch.",
            "s",
            _quantiles("bestiary_request_queue_time_seconds"),
            width=12,
        ),
    )


def _saturation() -> tuple[Graph, ...]:
    replicas = "sum by (application) (ray_serve_deployment_replica_healthy)"
    return (
        Graph(
            "Requests in the engines",
            "Waiting ones grow where slots or KV cache are full.",
            "short",
            (
                Query(
                    f"sum by (model) (bestiary_num_requests_running{{{MODEL}}})",
                    "{{model}} running",
                ),
                Query(
                    f"sum by (model) (bestiary_num_requests_waiting{{{MODEL}}})",
                    "{{model}} waiting",
                ),
            ),
        ),
        Graph(
            "KV cache in use",
            "The fullest replica of each deployment.",
            "percentunit",
            (
                Query(
                    f"max by (model, deployment) (bestiary_kv_cache_usage_perc{{{MODEL}}})",
                    "{{model}} {{deployment}}",
                ),
            ),
        ),
        Graph(
            "Prompt tokens from the prefix cache",
            "What was copied instead of computed: prompts that begin alike. None is no fault.",
            "percentunit",
            (Query(_prefix_hits(), "share"),),
        ),
        Graph(
            "Healthy replicas",
            "As Ray Serve counts them, by application.",
            "short",
            (Query(replicas, "{{application}}"),),
        ),
    )


def _routing() -> tuple[Graph, ...]:
    by = "sum by ({}) (rate(bestiary_routes_total{{{}}}[{}]))".format
    return (
        Graph(
            "Routes by reason",
            "Why the router chose as it did; fallback and spillover are the ones to look at.",
            "reqps",
            (Query(by("reason", TIER, WINDOW), "{{reason}}"),),
            width=12,
            stacked=True,
        ),
        Graph(
            "Asked for, and answered by",
            "What callers name as the model, and the tier that answers.",
            "reqps",
            (Query(by("asked, tier", TIER, WINDOW), "{{asked}} by {{tier}}"),),
            width=12,
            stacked=True,
        ),
    )


def _number(title: str, unit: str, expression: str, why: str) -> Graph:
    return Graph(title, why, unit, (Query(expression, title),), width=6, number=True)


def _rate_of(counter: str, *by: str) -> str:
    grouped = f" by ({', '.join(by)}) " if by else ""
    return f"sum{grouped}(rate({counter}{{{REQUEST}}}[{WINDOW}]))"


def _server_errors() -> str:
    """A share of 0, not "no data", where nothing failed: `or` gives the zero."""
    all_of_them = _rate_of("bestiary_requests_total")
    failed = f'sum(rate(bestiary_requests_total{{{REQUEST},status=~"5.."}}[{WINDOW}]))'
    return f"({failed} or vector(0)) / {all_of_them}"


def _prefix_hits() -> str:
    """A share of 0, not "no data", where nothing was found yet."""
    found, looked = (
        f"sum(rate(bestiary_prefix_cache_{what}_total{{{MODEL}}}[{WINDOW}]))"
        for what in ("hits", "queries")
    )
    return f"({found} or vector(0)) / {looked}"


def _spent(stage: str) -> str:
    return f"sum(rate(bestiary_request_{stage}_time_seconds_sum{{{REQUEST}}}[{WINDOW}]))"


def _quantile(quantile: float, histogram: str, by: tuple[str, ...]) -> str:
    grouping = ", ".join(("le", *by))
    buckets = f"rate({histogram}_bucket{{{REQUEST}}}[{WINDOW}])"
    return f"histogram_quantile({quantile}, sum by ({grouping}) ({buckets}))"


def _quantiles(histogram: str) -> tuple[Query, ...]:
    return tuple(Query(_quantile(q, histogram, ()), f"p{q * 100:.0f}") for q in QUANTILES)
