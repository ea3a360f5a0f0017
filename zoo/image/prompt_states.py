"""Captions as all-MiniLM-L6-v2 sees them: a vector per sentence, or the states of its tokens."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import BertModel

from training.token_states import TokenStates
from zoo.data.packages import cache_folder
from zoo.encoder.minilm import base_folder, base_tokenizer

MAX_TOKENS = 24  # of a prompt, [CLS] and [SEP] among them
DIMENSIONS = 384


class PromptEncoder(TokenStates):
    """MiniLM, frozen, in float32."""

    def __init__(self) -> None:
        model = BertModel.from_pretrained(base_folder(), dtype=torch.float32)
        super().__init__(base_tokenizer(), model, MAX_TOKENS)

    def kept_states(self, prompts: Sequence[str]) -> Tensor:
        """The same in float16, of many prompts: worked out once in bfloat16, then read from the
        cache. To train on; what is measured comes from `states`."""
        digest = hashlib.sha256("\n".join(prompts).encode()).hexdigest()
        kept = cache_folder() / f"prompts-{digest[:16]}.safetensors"
        if not kept.exists():
            with torch.autocast("cpu", dtype=torch.bfloat16):
                parts = [states.half() for states, _ in self.parts(prompts)]
            partial = kept.with_suffix(f".{os.getpid()}")
            save_file({"states": torch.cat(parts)}, partial)
            partial.replace(kept)
        return load_file(kept)["states"]

    def sentences(self, prompts: Sequence[str]) -> Tensor:
        """Unit vectors [N, 384]: the mean over the tokens."""
        means = [
            (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
            for states, mask in self.parts(prompts)
        ]
        return torch.nn.functional.normalize(torch.cat(means), dim=-1)
