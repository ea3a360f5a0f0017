"""How well vectors of questions find their answers among all of them. Vectors of unit length."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

SCALE = 20.0  # of cosines in the loss, as sentence-transformers has it


def own_answers(
    questions: Sequence[Hashable], answers: Sequence[Hashable], candidates: Sequence[Hashable]
) -> Tensor:
    """bool [questions, candidates]: those that answer a question, by any of the pairs.

    Candidates beyond the pairs' own answers are answers of nobody, unless they are equal.
    """
    known: dict[Hashable, set[Hashable]] = {}
    for question, answer in zip(questions, answers, strict=True):
        known.setdefault(question, set()).add(answer)
    return torch.tensor([[one in known[question] for one in candidates] for question in questions])


def ranking_loss(questions: Tensor, candidates: Tensor, own: Tensor) -> Tensor:
    """Multiple negatives ranking, arXiv:1705.00652: candidate i is question i's answer, all
    others are wrong, but for further ones that `own` says are right too. The mean over the
    questions [B, width]; `candidates` [B or more, width]."""
    scores = SCALE * questions @ candidates.T
    places = torch.arange(len(questions), device=scores.device)
    also_right = own.to(scores.device).clone()
    also_right[places, places] = False
    return torch.nn.functional.cross_entropy(scores.masked_fill(also_right, -torch.inf), places)


def retrieval_figures(questions: Tensor, candidates: Tensor, own: Tensor) -> dict[str, float]:
    """Recall at 1, mean reciprocal rank, and how much nearer answers are than other texts."""
    cosines = questions @ candidates.T
    own = own.to(cosines.device)
    best = cosines.masked_fill(~own, -torch.inf).amax(-1, keepdim=True)
    # Wrong ones that are as near count as found first: an encoder that says one vector fails.
    ranks = 1 + ((cosines >= best) & ~own).sum(-1)
    wrong = cosines[~own]
    gap = cosines[own].mean() - (wrong.mean() if len(wrong) else 0.0)
    return {
        "recall_at_1": float((ranks == 1).float().mean()),
        "mrr": float((1 / ranks).mean()),
        "cosine_gap": float(gap),
    }
