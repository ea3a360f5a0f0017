"""Rows -> logits where something is learned, and the loss of each sequence.

The head's product, a third of a small model's work, is made for learned tokens only. Every
sequence counts alike, as the mean over its tokens: so neither packing nor how a step is cut
into micro batches changes the step's loss. Knows no optimizer and no data.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from services.tuning.trainers.text.rows import Rows


def logits_at(model: PreTrainedModel, rows: Rows) -> Tensor:
    """[P, vocabulary] in float32: what the model expects at each learned place."""
    hidden = model.get_decoder()(
        input_ids=rows.ids, position_ids=rows.positions, use_cache=False
    ).last_hidden_state
    logits: Tensor = model.get_output_embeddings()(hidden[rows.predicting]).float()
    cap = getattr(model.config, "final_logit_softcapping", None)  # Gemma's
    return logits if cap is None else cap * torch.tanh(logits / cap)


def cross_entropy(logits: Tensor, rows: Rows) -> Tensor:
    """[P], of each learned token."""
    return functional.cross_entropy(logits, rows.labels, reduction="none")


def divergence(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """[P]: KL(teacher || student) of softened distributions, by the temperature's square so that
    its gradient is as large as cross-entropy's (Hinton et al., arXiv:1503.02531)."""
    ours = functional.log_softmax(logits / temperature, dim=-1)
    theirs = functional.log_softmax(teacher / temperature, dim=-1)
    kl = functional.kl_div(ours, theirs, reduction="none", log_target=True).sum(-1)
    return kl * temperature**2


def sums_of_sequences(values: Tensor, rows: Rows) -> Tensor:
    """[P] -> [sequences]."""
    return values.new_zeros(rows.sequences).index_add(0, rows.owners, values)


def means_of_sequences(values: Tensor, rows: Rows) -> Tensor:
    """[P] -> [sequences], each the mean over its learned tokens."""
    counts = torch.bincount(rows.owners, minlength=rows.sequences)
    return sums_of_sequences(values, rows) / counts


def perplexity_of(surprise: float, tokens: int) -> float:
    """`surprise`: the sum over the tokens, in nats. Bounded, as JSON knows no infinity."""
    return math.exp(min(surprise / tokens, 700.0))
