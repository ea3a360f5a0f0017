"""transformers' CLIPTextModel, Stable Diffusion's reader of prompts, as a part.

Imported in the building process only. It has no mask: prompts are padded to their full length.
https://huggingface.co/docs/transformers/model_doc/clip
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import CLIPTextModel

from deployments.kernels import image_names as names
from deployments.kernels.image_torch import TorchPart

TOKENS = {0: "B", 1: "S"}


class _Reader(nn.Module):  # type: ignore[misc]  # torch is not typed
    def __init__(self, model: CLIPTextModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor) -> Tensor:
        found: Tensor = self.model(input_ids=ids).last_hidden_state
        return found


def parts(folder: Path) -> tuple[TorchPart, ...]:
    model = CLIPTextModel.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    config = model.config
    length = config.max_position_embeddings

    def example(batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        return (torch.randint(0, config.vocab_size, (batch, length), generator=generator),)

    facts = {"positions": length, "width": config.hidden_size}
    return (
        TorchPart(
            names.TEXT_ENCODER,
            _Reader(model).eval(),
            {names.IDS: TOKENS},
            {names.STATES: TOKENS},
            example,
            facts,
        ),
    )
