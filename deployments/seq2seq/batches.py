"""Which inputs share a run of the encoder. Pure: lengths in, positions out."""

from __future__ import annotations

from collections.abc import Sequence

# Padding tokens that cost about as much as another run.
PADDING_WORTH_A_RUN = 64


def plan_batches(lengths: Sequence[int], max_batch_tokens: int) -> list[list[int]]:
    """Positions of the inputs, batch by batch, longest first.

    Neighbours in length share a batch: at most `max_batch_tokens` tokens in all and
    PADDING_WORTH_A_RUN of padding. An input that is longer than the budget runs alone.
    """
    batches: list[list[int]] = []
    longest = room = padding = 0
    for position in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        padding += longest - lengths[position]
        if room == 0 or padding > PADDING_WORTH_A_RUN:
            longest, padding = lengths[position], 0
            room = max(1, max_batch_tokens // longest)
            batches.append([])
        batches[-1].append(position)
        room -= 1
    return batches
