"""Captions as all-MiniLM-L6-v2 sees them: a vector per sentence, or the states of its tokens.

Prompts are cut and padded to one length, as Stable Diffusion does it: the encoder does not look
at the padding, the network that reads the states does.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import BertModel

from zoo.data.packages import cache_folder
from zoo.encoder.minilm import base_folder, base_tokenizer

MAX_TOKENS = 24  # of a prompt, [CLS] and [SEP] among them
DIMENSIONS = 384
AT_ONCE = 64


class PromptEncoder:
    """MiniLM, frozen, in float32."""

    def __init__(self) -> None:
        self._tokenizer = base_tokenizer()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.enable_padding(length=MAX_TOKENS)
        self._model = BertModel.from_pretrained(base_folder(), dtype=torch.float32)
        self._model.eval()

    def states(self, prompts: Sequence[str]) -> Tensor:
        """[N, 24, 384], padding and all."""
        return torch.cat([states for states, _ in self._parts(prompts)])

    def kept_states(self, prompts: Sequence[str]) -> Tensor:
        """The same in float16, of many prompts: worked out once in bfloat16, then read from the
        cache. To train on; what is measured comes from `states`."""
        digest = hashlib.sha256("\n".join(prompts).encode()).hexdigest()
        kept = cache_folder() / f"prompts-{digest[:16]}.safetensors"
        if not kept.exists():
            with torch.autocast("cpu", dtype=torch.bfloat16):
                parts = [states.half() for states, _ in self._parts(prompts)]
            partial = kept.with_suffix(f".{os.getpid()}")
            save_file({"states": torch.cat(parts)}, partial)
            partial.replace(kept)
        return load_file(kept)["states"]

    def sentences(self, prompts: Sequence[str]) -> Tensor:
        """Unit vectors [N, 384]: the mean over the tokens."""
        means = [
            (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
            for states, mask in self._parts(prompts)
        ]
        return torch.nn.functional.normalize(torch.cat(means), dim=-1)

    def _parts(self, prompts: Sequence[str]) -> list[tuple[Tensor, Tensor]]:
        return [
            self._encoded(prompts[start : start + AT_ONCE])
            for start in range(0, len(prompts), AT_ONCE)
        ]

    @torch.no_grad()  # type: ignore[untyped-decorator]  # torch is not followed
    def _encoded(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        found = self._tokenizer.encode_batch(list(prompts))
        ids = torch.tensor([one.ids for one in found])
        mask = torch.tensor([one.attention_mask for one in found])
        return self._model(input_ids=ids, attention_mask=mask).last_hidden_state, mask
