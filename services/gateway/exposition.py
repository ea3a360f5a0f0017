"""Prometheus text of several agents -> one text, as one page must be. Pure.

Ray's agents export ours as `ray_bestiary_*` and Ray's own as `ray_*`. Ours lose the
prefix, Ray's pass as they are, the agents' own (`python_*`, `process_*`) are left
out: without a node's label they would collide. All samples of a metric stand
together under one HELP and TYPE, as the format asks
(https://prometheus.io/docs/instrumenting/exposition_formats/).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

_RAY = "ray_"
_OURS = "ray_bestiary_"
# Ray's OpenTelemetry exporter says of each sample which library counted it: always the same.
_SCOPE_LABELS = re.compile(r'(?:,otel_scope_\w+="[^"]*"|otel_scope_\w+="[^"]*",?)')


@dataclass(slots=True)
class _Metric:
    comments: list[str] = field(default_factory=list)  # HELP and TYPE, of the first agent
    samples: list[str] = field(default_factory=list)


def merged(pages: Iterable[str]) -> str:
    metrics: dict[str, _Metric] = {}
    for page in pages:
        _take(page, metrics)
    lines: list[str] = []
    for metric in metrics.values():
        lines += metric.comments
        lines += metric.samples
    return "\n".join(lines) + "\n" if lines else ""


def _take(page: str, metrics: dict[str, _Metric]) -> None:
    """Comments come before their samples, so a sample belongs to the last named metric."""
    current: _Metric | None = None
    commented = ""  # the metric whose comments are being read
    fresh = False
    for line in page.splitlines():
        if line.startswith("# "):
            parts = line.split(" ", 3)
            if len(parts) < 3 or not parts[2].startswith(_RAY):
                current, commented = None, ""
                continue
            name = parts[2]
            if name != commented:
                commented = name
                fresh = name not in metrics
                current = metrics.setdefault(name, _Metric())
            if current is not None and fresh:
                current.comments.append(_renamed(line, f"# {parts[1]} "))
        elif current is not None and line.startswith(_RAY):
            current.samples.append(_SCOPE_LABELS.sub("", _renamed(line, "")))


def _renamed(line: str, before: str) -> str:
    if line.startswith(before + _OURS):
        return before + line[len(before) + len(_RAY) :]
    return line
