"""A decoder's checkpoint -> a folder with its ONNX graph. The registry of architectures.

Knows which architecture is written by whom; not where builds are kept (`build_cache.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from bestiary.errors import KernelError
from deployments.kernels.checkpoint import Checkpoint
from deployments.kernels.decoder_graph import DecoderGraph
from deployments.kernels.decoder_names import POSITIONS
from deployments.kernels.graph_writer import GraphWriter
from deployments.kernels.llama import write_llama
from deployments.kernels.precisions import precision

ARCHITECTURES: Mapping[str, Callable[[Checkpoint, DecoderGraph, int], None]] = {
    "LlamaForCausalLM": write_llama,
    "Qwen2ForCausalLM": write_llama,
}


def build_decoder(folder: Path, target: Path, precision_name: str, positions: int) -> None:
    """Writes the graph of the Hugging Face checkpoint in `folder` into `target`.

    `positions`: tokens that the rotary tables cover. Raises KernelError for an unknown
    architecture or precision, and for a checkpoint that is not what its config says.
    """
    with Checkpoint(folder) as checkpoint, GraphWriter(target) as graph:
        name = checkpoint.config.architecture
        if name not in ARCHITECTURES:
            raise KernelError(f"no graph for {name!r}; known: {', '.join(ARCHITECTURES)}")
        longest = checkpoint.config.integer("max_position_embeddings")
        if positions > longest:
            raise KernelError(f"a context of {positions} tokens is over the model's {longest}")
        decoder = DecoderGraph(graph, precision(precision_name, graph))
        ARCHITECTURES[name](checkpoint, decoder, positions)
        graph.save(name, {POSITIONS: str(positions)})
