"""A decoder's checkpoint -> a folder with its ONNX graph. The registry of architectures.

Knows which architecture is written by whom; not where builds are kept (`build_cache.py`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bestiary.errors import KernelError
from deployments.kernels.adapter_targets import targets_to_text
from deployments.kernels.attention import Form
from deployments.kernels.checkpoint import Checkpoint
from deployments.kernels.decoder_graph import DecoderGraph
from deployments.kernels.decoder_names import ADAPTERS, POSITIONS
from deployments.kernels.gemma3 import write_gemma3
from deployments.kernels.gpt2 import write_gpt2
from deployments.kernels.graph_writer import GraphWriter
from deployments.kernels.llama import write_llama, write_mistral, write_qwen
from deployments.kernels.pool_attention import PoolAttention
from deployments.kernels.precisions import precision
from deployments.kernels.prompt_attention import PromptAttention


@dataclass(frozen=True, slots=True)
class Architecture:
    write: Callable[[Checkpoint, DecoderGraph, int], None]
    longest: str = "max_position_embeddings"  # the config's key for its most positions


ARCHITECTURES: Mapping[str, Architecture] = {
    "LlamaForCausalLM": Architecture(write_llama),
    "Qwen2ForCausalLM": Architecture(write_qwen),
    "Qwen3ForCausalLM": Architecture(write_qwen),
    "MistralForCausalLM": Architecture(write_mistral),
    "Gemma3ForCausalLM": Architecture(write_gemma3),
    "GPT2LMHeadModel": Architecture(write_gpt2, longest="n_positions"),
}


def build_decoder(
    folder: Path, target: Path, precision_name: str, positions: int, *, adapters: bool = False
) -> None:
    """Writes the graph of the Hugging Face checkpoint in `folder` into `target`.

    `positions`: tokens that the tables of positions cover; `adapters`: whether rows can
    have adapters, which without one costs a little too. Raises KernelError for an
    unknown architecture or precision, for an option of the model that its graph cannot
    have, and for a checkpoint that is not what its config says.
    """
    _build(folder, target, precision_name, positions, PoolAttention, adapters=adapters)


def build_prompt_graph(folder: Path, target: Path, precision_name: str, positions: int) -> None:
    """Writes the graph that only reads prompts, with keys and values of its own.

    Raises KernelError as `build_decoder` does.
    """
    form = functools.partial(PromptAttention, positions=positions)
    _build(folder, target, precision_name, positions, form, adapters=False)


def _build(
    folder: Path,
    target: Path,
    precision_name: str,
    positions: int,
    form: Callable[[GraphWriter, str, int], Form],
    *,
    adapters: bool,
) -> None:
    with Checkpoint(folder) as checkpoint, GraphWriter(target) as graph:
        name = checkpoint.config.architecture
        architecture = ARCHITECTURES.get(name)
        if architecture is None:
            raise KernelError(f"no graph for {name!r}; known: {', '.join(ARCHITECTURES)}")
        longest = checkpoint.config.integer(architecture.longest)
        if positions > longest:
            raise KernelError(f"a context of {positions} tokens is over the model's {longest}")
        decoder = DecoderGraph(graph, precision(precision_name, graph), form, adapters)
        architecture.write(checkpoint, decoder, positions)
        facts = {POSITIONS: str(positions)}
        if adapters:
            facts[ADAPTERS] = targets_to_text(decoder.targets)
        graph.save(name, facts)
