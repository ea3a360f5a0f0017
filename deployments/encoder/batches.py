"""Which inputs share a run. Pure: lengths in, positions out."""

from __future__ import annotations

from collections.abc import Sequence


def plan_batches(lengths: Sequence[int], max_batch_tokens: int) -> list[list[int]]:
    """Positions of the inputs, batch by batch, longest first.

    Neighbours in length share a batch, so that little is padding; a batch holds at most
    `max_batch_tokens` padded tokens. An input that is longer than that runs alone.
    """
    batches: list[list[int]] = []
    room = 0
    for position in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if room == 0:
            batches.append([])
            room = max(1, max_batch_tokens // lengths[position])
        batches[-1].append(position)
        room -= 1
    return batches
