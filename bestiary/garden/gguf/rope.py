"""Rotary-embedding scaling: GGUF's keys and factors -> transformers' `rope_parameters`."""

from __future__ import annotations

import math

import numpy as np

from bestiary.errors import GardenError
from bestiary.garden.gguf.reader import Float32, GgufFile

Rope = dict[str, float | int | str]

# Llama 3.1 and later; llama.cpp bakes them into a tensor of factors and drops the numbers.
_LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
_LLAMA3_CONTEXT = 8192


def rope_parameters(file: GgufFile, prefix: str, head_dim: int, base: float) -> Rope:
    """Raises GardenError for a scaling that transformers would compute otherwise."""
    theta = file.real(f"{prefix}.rope.freq_base", base)
    factors = file.tensor("rope_freqs.weight")
    if factors is not None:
        return _llama3(factors.values(), head_dim, theta)
    kind = file.text(f"{prefix}.rope.scaling.type", "none")
    if kind == "none":
        return {"rope_type": "default", "rope_theta": theta}
    factor = file.real(f"{prefix}.rope.scaling.factor")
    if kind == "linear":
        return {"rope_type": "linear", "rope_theta": theta, "factor": factor}
    if kind == "yarn":
        original = file.integer(f"{prefix}.rope.scaling.original_context_length")
        return {
            "rope_type": "yarn",
            "rope_theta": theta,
            "factor": factor,
            "original_max_position_embeddings": original,
        }
    raise GardenError(f"{file.path}: rope scaling {kind!r}; supported: linear, none, yarn")


def _llama3(stored: Float32, head_dim: int, theta: float) -> Rope:
    """The factor of the slowest frequency names the whole scaling, if it is Llama 3's."""
    factor = round(float(stored[-1]), 4)
    expected = llama3_factors(head_dim, theta, factor)
    if stored.shape != expected.shape or not np.allclose(stored, expected, rtol=1e-3):
        raise GardenError("the GGUF's rope_freqs.weight is not the scaling of Llama 3")
    return {
        "rope_type": "llama3",
        "rope_theta": theta,
        "factor": factor,
        "original_max_position_embeddings": _LLAMA3_CONTEXT,
        **_LLAMA3,
    }


def llama3_factors(head_dim: int, theta: float, factor: float) -> Float32:
    """What each rotary frequency is divided by, shape (head_dim / 2,).

    As `_compute_llama3_parameters` in transformers' modeling_rope_utils.
    """
    frequencies = theta ** -(np.arange(0, head_dim, 2, dtype=np.float64) / head_dim)
    turns = _LLAMA3_CONTEXT * frequencies / (2 * math.pi)  # in the original context
    low, high = _LLAMA3["low_freq_factor"], _LLAMA3["high_freq_factor"]
    smooth = np.clip((turns - low) / (high - low), 0, 1)
    return (1 / ((1 - smooth) / factor + smooth)).astype(np.float32)
