"""Perplexity on general text, which no job trains on: where it rises, the model forgets."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import PreTrainedModel

from services.tuning.trainers.micro_batches import chunks
from services.tuning.trainers.text.chat import TokenWriter
from services.tuning.trainers.text.losses import cross_entropy, logits_at, perplexity_of
from services.tuning.trainers.text.rows import rows_of
from services.tuning.trainers.text.sequences import TokenSequence

TEXT = Path(__file__).parent.parent / "general_text" / "general.txt"
WINDOW = 512  # tokens
AT_ONCE = 4


@torch.no_grad()  # type: ignore[untyped-decorator]  # torch is not followed
def general_perplexity(model: PreTrainedModel, writer: TokenWriter, device: str) -> float:
    """Of a token. Called in evaluation mode."""
    ids = writer.encode(TEXT.read_text("utf-8"), as_prompt=True)
    windows = [
        TokenSequence(tuple(part), (False, *[True] * (len(part) - 1)))
        for part in chunks(ids, min(WINDOW, model.config.max_position_embeddings))
        if len(part) > 1
    ]
    surprise = 0.0
    for some in chunks(windows, AT_ONCE):
        rows = rows_of(some, WINDOW, packing=False, device=device)
        surprise += float(cross_entropy(logits_at(model, rows), rows).sum())
    return perplexity_of(surprise, sum(window.learned_tokens for window in windows))
