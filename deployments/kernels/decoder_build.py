"""A decoder's checkpoint -> a folder with its ONNX graph. The registry of architectures.

Knows which architecture is written by whom; not where builds are kept (`build_cache.py`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bestiary.errors import KernelError
from deployments.kernels.adapter_targets import targets_to_text
from deployments.kernels.attention import Form
from deployments.kernels.calibration import Calibration
from deployments.kernels.checkpoint import Checkpoint
from deployments.kernels.decoder_graph import DecoderGraph
from deployments.kernels.decoder_names import ADAPTERS, POSITIONS
from deployments.kernels.gemma3 import write_gemma3
from deployments.kernels.gpt2 import write_gpt2
from deployments.kernels.graph_writer import GraphWriter
from deployments.kernels.kv_bytes import KvSteps
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


@dataclass(frozen=True, slots=True)
class Writing:
    """How a graph is written, beside its precision."""

    positions: int  # tokens that the tables of positions cover
    adapters: bool = False  # whether rows can have some, which without one costs a little too
    calibration: Calibration | None = None  # for precisions that can use one
    kv_bytes: bool = False  # keys and values as bytes, which takes a calibration


def build_decoder(folder: Path, target: Path, precision_name: str, writing: Writing) -> None:
    """Writes the graph of the Hugging Face checkpoint in `folder` into `target`.

    Raises KernelError for an unknown architecture or precision, for an option of the model
    that its graph cannot have, and for a checkpoint that is not what its config says.
    """
    form = functools.partial(PoolAttention, steps=_kv_steps(writing))
    _build(folder, target, precision_name, writing, form)


def build_prompt_graph(folder: Path, target: Path, precision_name: str, writing: Writing) -> None:
    """Writes the graph that only reads prompts, with keys and values of its own, and takes no
    adapters. Raises KernelError as `build_decoder` does.
    """
    form = functools.partial(PromptAttention, positions=writing.positions, steps=_kv_steps(writing))
    _build(folder, target, precision_name, replace(writing, adapters=False), form)


def _kv_steps(writing: Writing) -> KvSteps | None:
    if not writing.kv_bytes:
        return None
    if writing.calibration is None:
        raise KernelError("keys and values can be bytes only where the model was calibrated")
    return KvSteps.of(writing.calibration)


def _build(
    folder: Path,
    target: Path,
    precision_name: str,
    writing: Writing,
    form: Callable[[GraphWriter, str, int], Form],
) -> None:
    with Checkpoint(folder) as checkpoint, GraphWriter(target) as graph:
        name = checkpoint.config.architecture
        architecture = ARCHITECTURES.get(name)
        if architecture is None:
            raise KernelError(f"no graph for {name!r}; known: {', '.join(ARCHITECTURES)}")
        longest = checkpoint.config.integer(architecture.longest)
        positions = writing.positions
        if positions > longest:
            raise KernelError(f"a context of {positions} tokens is over the model's {longest}")
        sizes = {} if writing.calibration is None else writing.calibration.inputs
        decoder = DecoderGraph(
            graph, precision(precision_name, graph), form, writing.adapters, sizes
        )
        architecture.write(checkpoint, decoder, positions)
        facts = {POSITIONS: str(positions)}
        if writing.adapters:
            facts[ADAPTERS] = targets_to_text(decoder.targets)
        graph.save(name, facts)
