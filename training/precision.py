"""Whether products in bfloat16 are faster here, by torch's word of the device.

Where the CPU has no instructions for them torch computes them one by one: a step of a language
model took 13 times as long as in float32 on a CPU with AVX2 only.
"""

from __future__ import annotations

import torch


def multiplies_in_bfloat16(device: str) -> bool:
    """`device` is torch's word: cpu or cuda."""
    if device != "cpu":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
