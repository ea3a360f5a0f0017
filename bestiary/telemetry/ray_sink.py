"""Metrics through `ray.util.metrics`: the node's metrics agent exports them with the prefix `ray_`.

A file of its own, so that only processes which run under Ray import it.
"""

from __future__ import annotations

from ray.util.metrics import Counter, Histogram

from bestiary.telemetry.metrics import CounterSink, HistogramSink


class RaySink:
    """A `MetricSink`. Ray appends `_total` to counters itself."""

    def counter(self, name: str, description: str, tag_keys: tuple[str, ...]) -> CounterSink:
        made: CounterSink = Counter(name.removesuffix("_total"), description, tag_keys)
        return made

    def histogram(
        self, name: str, description: str, buckets: tuple[float, ...], tag_keys: tuple[str, ...]
    ) -> HistogramSink:
        made: HistogramSink = Histogram(name, description, list(buckets), tag_keys)
        return made
