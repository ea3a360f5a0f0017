"""A micro batch -> rows of tokens, several sequences in a row, none of which sees another.

Positions begin at 0 in each sequence. Given them and no mask, transformers makes one that is
block-diagonal and causal (`masking_utils.find_packed_sequence_indices`), windows of attention
included; padding is one more sequence of its own. A test holds the logits to those of the
sequences alone. Knows no model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from services.tuning.trainers.text.sequences import TokenSequence

PADDING = 0  # any id will do: nobody sees it


@dataclass(frozen=True, slots=True)
class Rows:
    ids: Tensor  # int64 [rows, tokens]
    positions: Tensor  # int64 [rows, tokens]
    predicting: Tensor  # bool [rows, tokens]: the next token is learned; P of them are
    labels: Tensor  # int64 [P], in the order of `predicting`: the tokens that are learned
    owners: Tensor  # int64 [P]: the sequence that each of them is of
    sequences: int


def rows_of(
    sequences: Sequence[TokenSequence], limit: int, *, packing: bool, device: str = "cpu"
) -> Rows:
    """`limit`: tokens of a packed row. Without `packing` each sequence has its row."""
    places = _packed(sequences, limit) if packing else [[n] for n in range(len(sequences))]
    width = max(sum(len(sequences[n]) for n in row) for row in places)
    ids = torch.full((len(places), width), PADDING)
    positions = torch.zeros((len(places), width), dtype=torch.long)
    predicting = torch.zeros((len(places), width), dtype=torch.bool)
    labels: list[int] = []
    owners: list[int] = []
    for row, members in enumerate(places):
        start = 0
        for number in members:
            one = sequences[number]
            end = start + len(one)
            ids[row, start:end] = torch.tensor(one.ids)
            positions[row, start:end] = torch.arange(len(one))
            predicting[row, start : end - 1] = torch.tensor(one.learned[1:])
            labels += [
                token for token, learned in zip(one.ids, one.learned, strict=True) if learned
            ]
            owners += [number] * one.learned_tokens
            start = end
        positions[row, start:] = torch.arange(width - start)
    return Rows(
        ids.to(device),
        positions.to(device),
        predicting.to(device),
        torch.tensor(labels, device=device),
        torch.tensor(owners, device=device),
        len(sequences),
    )


def _packed(sequences: Sequence[TokenSequence], limit: int) -> list[list[int]]:
    """The longest first, each into the first row that has room (first-fit decreasing)."""
    rows: list[list[int]] = []
    rooms: list[int] = []
    for number in sorted(range(len(sequences)), key=lambda n: -len(sequences[n])):
        size = len(sequences[number])
        fitting = next((row for row, room in enumerate(rooms) if size <= room), None)
        if fitting is None:
            rows.append([])
            rooms.append(limit)
            fitting = len(rows) - 1
        rows[fitting].append(number)
        rooms[fitting] -= size
    return rows
