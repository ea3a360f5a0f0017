"""Adapters as peft makes them, and the torch models that they merge to."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel

from deployments.kernels.adapter_memory import AdapterLimits, HostAdapters, adapter_shape
from deployments.kernels.adapters import AdapterBank
from deployments.kernels.decoder_build import Writing, build_decoder
from deployments.kernels.decoder_session import DecoderSession, pool_shape
from deployments.kernels.kv_pool import HostPool
from deployments.kernels.model_files import GRAPH_FILE
from deployments.kernels.providers import CPU_ONLY
from deployments.kernels.sessions import SessionSettings, open_session
from tests.unit.kernels.conftest import POSITIONS, SLOTS, SmallModel
from tests.unit.kernels.rows import Logits

LLAMA_MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
LIMITS = AdapterLimits(count=3, rank=8)


@dataclass(frozen=True)
class SmallAdapter:
    folder: Path
    merged: PreTrainedModel


def make_adapter(
    model: SmallModel,
    folder: Path,
    *,
    seed: int,
    modules: tuple[str, ...] = LLAMA_MODULES,
    rank: int = 8,
    **options: object,
) -> SmallAdapter:
    """One whose weights are all random, so that each of them would be missed."""
    with warnings.catch_warnings():
        # peft 0.21 asks transformers 5.23 for a property under its old name.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        from peft import LoraConfig, get_peft_model

        chosen = LoraConfig(r=rank, target_modules=list(modules), task_type="CAUSAL_LM", **options)
        adapted = get_peft_model(copy.deepcopy(model.torch_model), chosen)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.15, generator=generator)
    adapted.save_pretrained(folder)
    return SmallAdapter(folder, adapted.merge_and_unload().eval())


def open_adapted(
    model: SmallModel, folder: Path, precision: str = "fp32", limits: AdapterLimits = LIMITS
) -> tuple[DecoderSession, AdapterBank]:
    build_decoder(model.folder, folder, precision, Writing(POSITIONS, adapters=True))
    session = open_session(folder / GRAPH_FILE, CPU_ONLY, SessionSettings(threads=2))
    memory = HostAdapters(adapter_shape(session, limits))
    pool = HostPool(pool_shape(session, SLOTS, POSITIONS))
    return DecoderSession(session, pool, adapters=memory), AdapterBank(memory)


def feed_adapted(
    decoder: DecoderSession,
    row: int,
    ids: list[int],
    slot: int,
    past: int = 0,
    chunk: int | None = None,
) -> Logits:
    """Appends ids to a row that has an adapter; logits [vocabulary] of the last one."""
    step = chunk or len(ids)
    logits = np.zeros(decoder.vocabulary, np.float32)
    for start in range(0, len(ids), step):
        part = np.array([ids[start : start + step]])
        length = np.array([past + start], np.int32)
        logits = decoder.run(row, part, length, adapters=np.array([slot]))[0].copy()
    return logits
