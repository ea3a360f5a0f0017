"""An encoder's checkpoint -> a folder with its ONNX graph. The registry of architectures.

Knows which architecture is written by whom; not where builds are kept (`build_cache.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from bestiary.errors import KernelError
from deployments.kernels import bert, bert_heads
from deployments.kernels.checkpoint import Checkpoint
from deployments.kernels.encoder_attention import OpenEncoderGraph
from deployments.kernels.encoder_graph import EncoderGraph
from deployments.kernels.encoder_names import POOLING, POSITIONS, Output
from deployments.kernels.encoder_outputs import EncoderOutputs
from deployments.kernels.graph_writer import GraphWriter
from deployments.kernels.precisions import precision


class Architecture(NamedTuple):
    body: Callable[[Checkpoint, EncoderGraph], str]
    heads: Callable[[Checkpoint, EncoderOutputs], dict[str, str]]


ARCHITECTURES: Mapping[str, Architecture] = dict.fromkeys(
    bert_heads.REQUIRED, Architecture(bert.write_body, bert_heads.write_heads)
)

POOLING_FILE = "1_Pooling/config.json"  # of sentence-transformers
MODULES_FILE = "modules.json"  # of sentence-transformers
KNOWN_MODULES = ("Transformer", "Pooling", "Normalize")
POOLINGS = {"pooling_mode_mean_tokens": Output.MEAN, "pooling_mode_cls_token": Output.CLS}
# OpenVINO rounds to bfloat16 itself, when it loads.
WRITTEN_IN = {"bf16mix": "fp32"}
# Rows of the word table are multiplied by few tokens: int8 in blocks is as fast, and finer.
WORDS_IN = {"w8row": "int8", "w8a16": "int8"}


def build_encoder(folder: Path, target: Path, precision_name: str) -> None:
    """Writes the graph of the Hugging Face checkpoint in `folder` into `target`.

    Raises KernelError for an unknown architecture or precision, and for a checkpoint that
    is not what its config says.
    """
    with Checkpoint(folder) as checkpoint, GraphWriter(target) as graph:
        architecture = _architecture(checkpoint)
        pooling = _pooling(folder)
        written = WRITTEN_IN.get(precision_name, precision_name)
        parts = EncoderGraph(graph, precision(written, graph))
        hidden = architecture.body(checkpoint, parts)
        words = precision(WORDS_IN.get(written, written), graph)
        width = checkpoint.config.integer("hidden_size")
        facts = architecture.heads(checkpoint, EncoderOutputs(parts, words, hidden, width))
        graph.save(checkpoint.config.architecture, facts | _facts(checkpoint) | {POOLING: pooling})


def build_open_encoder(folder: Path, target: Path) -> None:
    """Writes the body in float32 with its attention as outputs, and no head.

    Raises KernelError as `build_encoder` does.
    """
    with Checkpoint(folder) as checkpoint, GraphWriter(target) as graph:
        architecture = _architecture(checkpoint)
        words = precision("fp32", graph)
        parts = OpenEncoderGraph(graph, words)
        hidden = architecture.body(checkpoint, parts)
        width = checkpoint.config.integer("hidden_size")
        EncoderOutputs(parts, words, hidden, width).hidden()
        graph.save(checkpoint.config.architecture, _facts(checkpoint))


def _architecture(checkpoint: Checkpoint) -> Architecture:
    name = checkpoint.config.architecture
    if name not in ARCHITECTURES:
        raise KernelError(f"no graph for {name!r}; known: {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]


def _facts(checkpoint: Checkpoint) -> dict[str, str]:
    return {POSITIONS: str(checkpoint.config.integer("max_position_embeddings"))}


def _pooling(folder: Path) -> Output:
    """What the model was trained with: another one would answer, and answer wrongly."""
    _refuse_other_modules(folder)
    path = folder / POOLING_FILE
    if not path.is_file():
        return Output.MEAN
    asked = json.loads(path.read_text(encoding="utf-8"))
    modes = [
        key for key, value in asked.items() if key.startswith("pooling_mode") and value is True
    ]
    if len(modes) != 1 or modes[0] not in POOLINGS:
        raise KernelError(f"{path} asks for another pooling than the mean of tokens or the first")
    return POOLINGS[modes[0]]


def _refuse_other_modules(folder: Path) -> None:
    path = folder / MODULES_FILE
    if not path.is_file():
        return
    kinds = [str(one["type"]).rpartition(".")[2] for one in json.loads(path.read_bytes())]
    unknown = [kind for kind in kinds if kind not in KNOWN_MODULES]
    if unknown:
        raise KernelError(f"{path} has a {unknown[0]} on top of the model, which is not supported")
