"""Builds of one decoder -> an open `DecoderSession`, on the best provider that is here.

Knows folders and memory; not how builds come to be, or whether they may be used (`decoder.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnxruntime as ort

from deployments.kernels.adapter_memory import (
    AdapterLimits,
    AdapterMemory,
    DeviceAdapters,
    HostAdapters,
    adapter_shape,
)
from deployments.kernels.decoder_names import Graph
from deployments.kernels.decoder_session import DecoderSession, pool_shape
from deployments.kernels.device_pool import DevicePool
from deployments.kernels.kv_pool import HostPool
from deployments.kernels.model_files import GRAPH_FILE
from deployments.kernels.providers import ProviderChoice
from deployments.kernels.sessions import SessionSettings, open_session

LOG = logging.getLogger(__name__)

DEVICE_PRECISIONS = ("fp16", "bf16")


@dataclass(frozen=True, slots=True)
class Room:
    """How much a session holds."""

    slots: int  # rows
    context: int  # tokens of each
    adapters: AdapterLimits | None = None  # None: builds that take none


def load_decoder(
    builds: Mapping[Graph, Path], room: Room, choice: ProviderChoice, threads: int
) -> DecoderSession:
    """`builds` has DECODE at least. Raises KernelError where one does not load or fit."""
    settings = SessionSettings(threads=threads)
    sessions = {
        graph: open_session(folder / GRAPH_FILE, choice, settings)
        for graph, folder in builds.items()
    }
    decoding = sessions.pop(Graph.DECODE)
    shape = pool_shape(decoding, room.slots, room.context)
    pool = HostPool(shape) if choice.is_host else DevicePool(shape, "cuda", choice)
    memory = None if room.adapters is None else _memory(decoding, room.adapters, choice)
    return DecoderSession(decoding, pool, sessions, memory)


def cannot_run(precision: str, choice: ProviderChoice) -> str:
    """Why a precision does not run here, for people; nothing where it does."""
    if choice.is_host and precision in DEVICE_PRECISIONS:
        return f"{precision} needs a GPU, and {choice.reason}; use int8 or fp32 here"
    return ""


def _memory(
    session: ort.InferenceSession, limits: AdapterLimits, choice: ProviderChoice
) -> AdapterMemory:
    shape = adapter_shape(session, limits)
    LOG.info("%d adapters of rank %d take %d MB", limits.count, limits.rank, shape.bytes >> 20)
    return HostAdapters(shape) if choice.is_host else DeviceAdapters(shape, "cuda", choice)
