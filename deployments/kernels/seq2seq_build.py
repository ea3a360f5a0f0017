"""An encoder-decoder's checkpoint -> a folder with its two ONNX graphs. The registry.

    encoder/    texts -> what the decoder needs of them
    decoder/    one step of all rows

Knows which architecture is written by whom; not where builds are kept (`build_cache.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bestiary.errors import KernelError
from deployments.kernels.bart import (
    bart_positions,
    write_bart_decoder,
    write_bart_encoder,
    write_marian_decoder,
    write_marian_encoder,
)
from deployments.kernels.checkpoint import Checkpoint, Config
from deployments.kernels.graph_writer import GraphWriter
from deployments.kernels.precisions import precision
from deployments.kernels.recurrent import (
    recurrent_positions,
    write_recurrent_decoder,
    write_recurrent_encoder,
)
from deployments.kernels.seq2seq_names import DECODER, ENCODER, POSITIONS
from deployments.kernels.source_graph import SourceGraph
from deployments.kernels.t5 import t5_positions, write_t5_decoder, write_t5_encoder
from deployments.kernels.target_graph import TargetGraph


@dataclass(frozen=True, slots=True)
class Architecture:
    write_encoder: Callable[[Checkpoint, SourceGraph], None]
    write_decoder: Callable[[Checkpoint, TargetGraph], None]
    positions: Callable[[Config], int]  # the longest source and target


ARCHITECTURES: Mapping[str, Architecture] = {
    "T5ForConditionalGeneration": Architecture(write_t5_encoder, write_t5_decoder, t5_positions),
    "BartForConditionalGeneration": Architecture(
        write_bart_encoder, write_bart_decoder, bart_positions
    ),
    "MarianMTModel": Architecture(write_marian_encoder, write_marian_decoder, bart_positions),
    "RecurrentSeq2Seq": Architecture(
        write_recurrent_encoder, write_recurrent_decoder, recurrent_positions
    ),
}


def build_seq2seq(folder: Path, target: Path, precision_name: str) -> None:
    """Writes both graphs of the checkpoint in `folder` into `target`.

    Raises KernelError for an unknown architecture or precision, for an option of the model
    that its graph cannot have, and for a checkpoint that is not what its config says.
    """
    with Checkpoint(folder) as checkpoint:
        name = checkpoint.config.architecture
        architecture = ARCHITECTURES.get(name)
        if architecture is None:
            raise KernelError(f"no graphs for {name!r}; known: {', '.join(ARCHITECTURES)}")
        facts = {POSITIONS: str(architecture.positions(checkpoint.config))}
        for part in (ENCODER, DECODER):
            (target / part).mkdir()
        with GraphWriter(target / ENCODER) as graph:
            source = SourceGraph(graph, precision(precision_name, graph))
            architecture.write_encoder(checkpoint, source)
            graph.save(name, facts)
        with GraphWriter(target / DECODER) as graph:
            steps = TargetGraph(graph, precision(precision_name, graph))
            architecture.write_decoder(checkpoint, steps)
            graph.save(name, facts)
