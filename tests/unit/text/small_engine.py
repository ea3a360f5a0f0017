"""A small random Llama whose vocabulary is a byte tokenizer's, built and opened as any model is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from text_tokenizers import byte_tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from bestiary.errors import BestiaryError
from bestiary.schemas.text import TextChunk
from deployments.kernels.decoder_build import Writing, build_decoder
from deployments.kernels.decoder_names import Graph
from deployments.kernels.decoder_session import DecoderSession, pool_shape
from deployments.kernels.kv_pool import HostPool
from deployments.kernels.model_files import GRAPH_FILE
from deployments.kernels.providers import CPU_ONLY
from deployments.kernels.sessions import SessionSettings, open_session
from deployments.text.engine import Engine, EngineOptions
from deployments.text.speculation import Drafter

TOKENIZER = byte_tokenizer()
END_ID = next(iter(TOKENIZER.end_ids))
VOCABULARY = END_ID + 1
POSITIONS = 256  # tokens of a row


def small_llama(seed: int = 1, spread: float = 0.2, layers: int = 2) -> LlamaForCausalLM:
    """`spread` of its weights: the larger, the surer it is of what comes next."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=64,  # the attention kernel wants heads of 16, or of multiples
        intermediate_size=96,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=POSITIONS,
        initializer_range=spread,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
    )
    return LlamaForCausalLM(config).eval()


def opened(
    model: LlamaForCausalLM, folder: Path, slots: int, draft: str | None = None
) -> DecoderSession:
    """In fp32, on one thread, through a checkpoint and its graph; `draft`: the drafts' precision.

    A graph that is there already is opened again.
    """
    checkpoint = folder / "checkpoint"
    if not checkpoint.exists():
        model.save_pretrained(checkpoint)
    builds = {Graph.DECODE: "fp32"} | ({} if draft is None else {Graph.DRAFT: draft})
    sessions = {}
    for graph, precision in builds.items():
        build = folder / precision
        if not build.exists():
            build.mkdir()
            build_decoder(checkpoint, build, precision, Writing(POSITIONS))
        settings = SessionSettings(threads=1, spin=False)
        sessions[graph] = open_session(build / GRAPH_FILE, CPU_ONLY, settings)
    decoding = sessions.pop(Graph.DECODE)
    return DecoderSession(decoding, HostPool(pool_shape(decoding, slots, POSITIONS)), sessions)


@dataclass
class Run:
    """An engine on real kernels, and what it has said."""

    decoder: DecoderSession
    options: EngineOptions
    drafter: Drafter | None = None
    clock: Callable[[], float] = time.monotonic
    chunks: dict[int, list[TextChunk]] = field(default_factory=dict)
    errors: dict[int, BestiaryError] = field(default_factory=dict)

    def __post_init__(self) -> None:
        ends = frozenset({END_ID})
        self.engine = Engine(self.decoder, TOKENIZER, ends, self.options, self.clock, self.drafter)

    def step(self) -> None:
        result = self.engine.step()
        for ticket, chunks in result.chunks.items():
            self.chunks.setdefault(ticket, []).extend(chunks)
        self.errors.update(result.errors)

    def drain(self) -> None:
        for _ in range(100_000):
            if self.engine.idle:
                return
            self.step()
        raise AssertionError("the engine does not come to an end")

    def tokens(self, ticket: int, candidate: int = 0) -> list[int]:
        said = self.chunks.get(ticket, [])
        return [one for chunk in said if chunk.candidate == candidate for one in chunk.token_ids]
