"""Greedy answers to prompts, several at once, with the KV cache. Knows no text."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from transformers import GenerationConfig, PreTrainedModel

AT_ONCE = 8  # prompts


@dataclass(frozen=True, slots=True)
class Answer:
    """`ended`: by an end token, which is not among the ids; else by the limit."""

    ids: tuple[int, ...]
    ended: bool


@torch.no_grad()  # type: ignore[untyped-decorator]  # torch is not followed
def greedy_answers(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    end_ids: Collection[int],
    most: int,
) -> list[Answer]:
    """Of at most `most` tokens. One batch; the prompts are padded on the left."""
    width = max(map(len, prompts))
    padding = min(end_ids)
    ids = torch.full((len(prompts), width), padding)
    seen = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        seen[row, width - len(prompt) :] = 1
    config = GenerationConfig(
        max_new_tokens=most,
        do_sample=False,
        eos_token_id=sorted(end_ids),
        pad_token_id=padding,
    )
    written = model.generate(
        ids.to(model.device), attention_mask=seen.to(model.device), generation_config=config
    )
    return [_until_end(row, end_ids) for row in written[:, width:].tolist()]


def _until_end(ids: list[int], end_ids: Collection[int]) -> Answer:
    end = next((place for place, token in enumerate(ids) if token in end_ids), None)
    return Answer(tuple(ids[:end]), end is not None)
