"""What fp16 on the disk does to a model: its weights are rounded before anything is measured."""

from __future__ import annotations

import torch
from torch import nn


def round_to_half(model: nn.Module) -> None:
    """In place; the model stays float32. What is measured afterwards is what is served."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.half().float())


def round_learned_to_half(model: nn.Module) -> None:
    """The same for what is trained only, where the rest comes from elsewhere in float32."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.copy_(parameter.half().float())
