"""Low-rank changes of linear layers (LoRA, arXiv:2106.09685): y = (W + s B A) x, W frozen."""

from __future__ import annotations

import math
import re

import torch
from torch import Tensor, nn

SCALE = 2.0  # alpha over rank


class LowRankLinear(nn.Linear):  # type: ignore[misc]  # torch is not followed
    """A linear layer that was made one of these in place: `weight` keeps its name."""

    lora_A: nn.Parameter  # noqa: N815 - the field's name for it; [rank, in]
    lora_B: nn.Parameter  # noqa: N815 - [out, rank], zero at first

    def forward(self, inputs: Tensor) -> Tensor:
        down = nn.functional.linear(inputs, self.lora_A)
        changed: Tensor = super().forward(inputs) + SCALE * nn.functional.linear(down, self.lora_B)
        return changed


def freeze(model: nn.Module) -> None:
    for parameter in model.parameters():
        parameter.requires_grad_(False)


def learn(model: nn.Module, pattern: str) -> None:
    """Thaws the parameters whose whole names match. Raises ValueError where none does."""
    matching = [one for name, one in model.named_parameters() if re.fullmatch(pattern, name)]
    if not matching:
        raise ValueError(f"no parameter is called {pattern}")
    for parameter in matching:
        parameter.requires_grad_(True)


def add_low_rank(model: nn.Module, pattern: str, rank: int) -> None:
    """To every linear layer whose whole name matches; its own weight is not thawed."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and re.fullmatch(pattern, name):
            module.lora_A = nn.Parameter(torch.empty(rank, module.in_features))
            module.lora_B = nn.Parameter(torch.zeros(module.out_features, rank))
            nn.init.kaiming_uniform_(module.lora_A, a=math.sqrt(5))
            module.__class__ = LowRankLinear


def learned_tensors(model: nn.Module) -> dict[str, Tensor]:
    """What makes the model of its base, as `bestiary.garden.delta` reads it: the scale in B."""
    found = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        kept = parameter.detach()
        module, _, kind = name.rpartition(".")
        if kind == "lora_B":
            kept = kept * SCALE
        found[f"{module}.weight.{kind}" if kind.startswith("lora_") else name] = kept
    return found
