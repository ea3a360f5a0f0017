"""Spans of characters <-> a label per token: B-kind where a span begins, I-kind in it, else O."""

from __future__ import annotations

from collections.abc import Sequence

OUTSIDE = "O"
Span = tuple[int, int, str]  # start, end, kind


def label_names(kinds: Sequence[str]) -> tuple[str, ...]:
    return (OUTSIDE, *(f"{place}-{kind}" for kind in kinds for place in "BI"))


def labels_of(offsets: Sequence[tuple[int, int]], spans: Sequence[Span]) -> list[str]:
    """A token belongs to a span that it lies in; `offsets` are of characters, in order."""
    labels = []
    before: Span | None = None
    for start, end in offsets:
        inside = next((one for one in spans if one[0] <= start < end <= one[1]), None)
        if inside is None:
            labels.append(OUTSIDE)
        else:
            labels.append(f"{'I' if inside == before else 'B'}-{inside[2]}")
        before = inside
    return labels


def spans_of(labels: Sequence[str]) -> set[Span]:
    """In places of tokens, the end exclusive. An I that continues nothing begins a span."""
    found: set[Span] = set()
    start, kind = 0, ""
    for place, label in enumerate([*labels, OUTSIDE]):
        begins, _, named = label.partition("-")
        if kind and (begins != "I" or named != kind):
            found.add((start, place, kind))
            kind = ""
        if label != OUTSIDE and not kind:
            start, kind = place, named
    return found
