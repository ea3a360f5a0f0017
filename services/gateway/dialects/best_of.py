"""OpenAI's `best_of`: more candidates are written than are given out.

https://platform.openai.com/docs/api-reference/completions/create: "the best" is the one
with the highest log probability per token. All of them are counted in the usage.
"""

from __future__ import annotations

from collections.abc import Sequence

from services.gateway.generation import Candidate


def best(candidates: Sequence[Candidate], count: int) -> tuple[Candidate, ...]:
    """The best one first; the earlier one of two that are equally good."""
    return tuple(sorted(candidates, key=_per_token, reverse=True)[:count])


def _per_token(candidate: Candidate) -> float:
    assert candidate.cumulative_logprob is not None, "the candidates were not asked to be ranked"
    return candidate.cumulative_logprob / max(1, candidate.completion_tokens)
