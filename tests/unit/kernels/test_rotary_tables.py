"""Rotary tables against transformers' own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from bestiary.errors import KernelError
from deployments.kernels.checkpoint import Config
from deployments.kernels.rotary import rotary_tables

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


@pytest.mark.parametrize(
    "parameters",
    [
        {"rope_type": "default", "rope_theta": 10_000.0},
        {"rope_type": "linear", "rope_theta": 10_000.0, "factor": 2.0},
        LLAMA3,
    ],
    ids=["default", "linear", "llama3"],
)
def test_tables_equal_those_of_transformers(parameters: dict[str, str | float]) -> None:
    head_dim, positions = 64, 600
    config = LlamaConfig(
        hidden_size=256,
        num_attention_heads=4,
        max_position_embeddings=131072,
        rope_parameters=parameters,
    )
    cosines, sines = LlamaRotaryEmbedding(config)(
        torch.zeros(1, 1, 1), torch.arange(positions)[None]
    )
    ours = rotary_tables(Config({"rope_parameters": parameters}, Path()), head_dim, positions)
    np.testing.assert_allclose(ours[0], cosines[0, :, : head_dim // 2].numpy(), atol=1e-4)
    np.testing.assert_allclose(ours[1], sines[0, :, : head_dim // 2].numpy(), atol=1e-4)


def test_the_keys_of_transformers_4_mean_the_same() -> None:
    scaling = {key: value for key, value in LLAMA3.items() if key != "rope_theta"}
    old = Config({"rope_theta": 500_000.0, "rope_scaling": scaling}, Path())
    new = Config({"rope_parameters": LLAMA3}, Path())
    np.testing.assert_array_equal(rotary_tables(old, 64, 9), rotary_tables(new, 64, 9))


def test_a_rotation_of_a_part_of_each_head_is_refused() -> None:
    config = Config({"rope_parameters": {"partial_rotary_factor": 0.5}}, Path())
    with pytest.raises(KernelError, match="part of each head"):
        rotary_tables(config, 64, 9)
