"""Texts as an encoder sees them, token by token: what a diffusion model's prompt is.

All are cut and padded to one length, as Stable Diffusion does it: the encoder does not look at the
padding, the network that reads the states does. Knows no model by name.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import PreTrainedModel

AT_ONCE = 64


class TokenStates:
    """`length` in tokens, special ones among them. The model is not changed."""

    def __init__(self, tokenizer: Tokenizer, model: PreTrainedModel, length: int) -> None:
        self._tokenizer = tokenizer
        self._tokenizer.enable_truncation(length)
        self._tokenizer.enable_padding(length=length)
        self._model = model.eval()

    def states(self, texts: Sequence[str]) -> Tensor:
        """[N, length, width], padding and all."""
        return torch.cat([states for states, _ in self.parts(texts)])

    def parts(self, texts: Sequence[str]) -> list[tuple[Tensor, Tensor]]:
        """States and attention mask [n, length] of a few texts at a time."""
        return [
            self._encoded(texts[start : start + AT_ONCE]) for start in range(0, len(texts), AT_ONCE)
        ]

    @torch.no_grad()  # type: ignore[untyped-decorator]  # torch is not followed
    def _encoded(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        found = self._tokenizer.encode_batch(list(texts))
        device = self._model.device
        ids = torch.tensor([one.ids for one in found], device=device)
        mask = torch.tensor([one.attention_mask for one in found], device=device)
        return self._model(input_ids=ids, attention_mask=mask).last_hidden_state, mask
