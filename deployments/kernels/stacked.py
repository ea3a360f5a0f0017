"""One product with the weights of several modules that read the same input."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deployments.kernels.checkpoint import Checkpoint
from deployments.kernels.decoder_graph import DecoderGraph


def stacked_linear(
    checkpoint: Checkpoint, graph: DecoderGraph, x: str, modules: Sequence[str], name: str
) -> str:
    """x [B, S, in] -> [B, S, the modules' outputs one after another].

    With biases where the checkpoint has tensors for them.
    """
    weights = [checkpoint.tensor(f"{module}.weight") for module in modules]
    biased = f"{modules[0]}.bias" in checkpoint
    biases = [checkpoint.tensor(f"{module}.bias") for module in modules] if biased else []
    return graph.linear(
        x,
        np.concatenate(weights),
        np.concatenate(biases) if biased else None,
        name,
        tuple((module, len(weight)) for module, weight in zip(modules, weights, strict=True)),
    )
