"""Masked language modelling as BERT has it (arXiv:1810.04805): which tokens, and what they become.

Of the tokens that are not special 15% are to be guessed: 80% of those become [MASK], 10% another
token, 10% stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

CHOSEN, MASKED, REPLACED = 0.15, 0.8, 0.1


@dataclass(frozen=True)
class Masked:
    input_ids: Tensor  # int64, as given
    chosen: Tensor  # bool: what is to be guessed
    masked: Tensor  # bool: those of them that are [MASK] now


def mask(
    input_ids: Tensor, may_change: Tensor, *, mask_id: int, vocabulary: int, seed: int
) -> Masked:
    """The same for the same seed, whatever torch's own generator is at."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(input_ids.shape, generator=generator)
    kind = torch.rand(input_ids.shape, generator=generator)
    others = torch.randint(vocabulary, input_ids.shape, generator=generator)
    chosen = may_change & (drawn < CHOSEN)
    masked = chosen & (kind < MASKED)
    replaced = chosen & (kind >= MASKED) & (kind < MASKED + REPLACED)
    changed = torch.where(masked, torch.full_like(input_ids, mask_id), input_ids)
    return Masked(torch.where(replaced, others, changed), chosen, masked)
