"""A low-rank adapter on a UNet, by peft.

A style is in the convolutions as much as in the attention: where a spec names no modules, all
linear layers and convolutions of the UNet's blocks are adapted, the first and the last apart.
"""

from __future__ import annotations

import re

import torch
from diffusers import UNet2DConditionModel
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn

from bestiary.errors import InvalidRequest
from bestiary.schemas.tuning import Lora

BLOCKS = ("down_blocks.", "mid_block.", "up_blocks.")
LAYERS = (nn.Linear, nn.Conv2d)


def with_adapter(unet: UNet2DConditionModel, lora: Lora, seed: int) -> PeftModel:
    """Only the adapter's weights are learned; at first it changes nothing.

    Raises InvalidRequest for a name that no layer of the UNet has.
    """
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=_targets(unet, lora.targets),
    )
    torch.manual_seed(seed)
    return get_peft_model(unet, config)


def _targets(unet: UNet2DConditionModel, named: tuple[str, ...]) -> list[str]:
    """Whole names, as peft matches them."""
    layers = [name for name, one in unet.named_modules() if isinstance(one, LAYERS)]
    if not named:
        return [name for name in layers if name.startswith(BLOCKS)]
    found = {
        target: [name for name in layers if name == target or name.endswith(f".{target}")]
        for target in named
    }
    missing = sorted(target for target, names in found.items() if not names)
    if missing:
        known = sorted({_role(name) for name in layers})
        raise InvalidRequest(
            f"no layer of the UNet is called {', '.join(missing)}; there are {', '.join(known)}",
            "lora.targets",
        )
    return sorted({name for names in found.values() for name in names})


def _role(name: str) -> str:
    """`down_blocks.1.attentions.0.to_out.0` -> `to_out.0`."""
    match = re.search(r"[^.\d][^.]*(\.\d+)?$", name)
    return match.group(0) if match else name
