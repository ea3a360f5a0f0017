"""Which examples make which micro batch of a job, and how held-out ones are gone through."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from bestiary.schemas.tuning import TrainingPlan
from training.batch_order import BatchOrder

T = TypeVar("T")

QUICK = 128  # held-out examples that are measured on the way
MEASURED_AT_ONCE = 32


def micro_batches(lengths: Sequence[int], plan: TrainingPlan, seed: int) -> BatchOrder:
    """As many examples as the plan says, about one length each, so that little is padding."""
    most = plan.micro_batch_size
    return BatchOrder(lengths, most * max(lengths), seed, most)


def spread(examples: Sequence[T], count: int) -> Sequence[T]:
    """About so many of them, from all over; always the same."""
    return examples[:: max(1, -(-len(examples) // count))]


def chunks(examples: Sequence[T], size: int = MEASURED_AT_ONCE) -> Iterator[Sequence[T]]:
    for start in range(0, len(examples), size):
        yield examples[start : start + size]
