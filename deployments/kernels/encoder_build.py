"""An encoder's checkpoint -> a folder with its ONNX graph. The registry of architectures.

Knows which architecture is written by whom; not where builds are kept (`build_cache.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from bestiary.errors import KernelError
from deployments.kernels.bert import write_bert
from deployments.kernels.checkpoint import Checkpoint
from deployments.kernels.encoder_graph import EncoderGraph
from deployments.kernels.encoder_names import POSITIONS
from deployments.kernels.graph_writer import GraphWriter
from deployments.kernels.precisions import precision

ARCHITECTURES: Mapping[str, Callable[[Checkpoint, EncoderGraph], None]] = {
    "BertModel": write_bert,
    "BertForMaskedLM": write_bert,
    "BertForPreTraining": write_bert,
}

POOLING_FILE = "1_Pooling/config.json"  # of sentence-transformers
MEAN = "pooling_mode_mean_tokens"


def build_encoder(folder: Path, target: Path, precision_name: str) -> None:
    """Writes the graph of the Hugging Face checkpoint in `folder` into `target`.

    Raises KernelError for an unknown architecture or precision, and for a checkpoint that
    is not what its config says.
    """
    with Checkpoint(folder) as checkpoint, GraphWriter(target) as graph:
        name = checkpoint.config.architecture
        if name not in ARCHITECTURES:
            raise KernelError(f"no graph for {name!r}; known: {', '.join(ARCHITECTURES)}")
        _refuse_other_pooling(folder)
        ARCHITECTURES[name](checkpoint, EncoderGraph(graph, precision(precision_name, graph)))
        longest = checkpoint.config.integer("max_position_embeddings")
        graph.save(name, {POSITIONS: str(longest)})


def _refuse_other_pooling(folder: Path) -> None:
    """A model that was trained with another pooling would answer, and answer wrongly."""
    path = folder / POOLING_FILE
    if path.is_file() and not json.loads(path.read_text(encoding="utf-8")).get(MEAN, False):
        raise KernelError(f"{path} asks for another pooling than the mean of tokens")
