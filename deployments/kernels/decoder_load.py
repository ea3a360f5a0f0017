"""Builds of one decoder -> an open `DecoderSession`, on the best provider that is here.

Knows folders and memory; not how builds come to be, or whether they may be used (`decoder.py`).
"""

from __future__ import annotations

import logging
import time
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
from deployments.kernels.decoder_names import NEW, Graph
from deployments.kernels.decoder_session import DecoderSession, pool_shape
from deployments.kernels.device_pool import DevicePool
from deployments.kernels.kv_pool import ELEMENT_TYPES, HostPool, KvPool, PoolShape
from deployments.kernels.model_files import GRAPH_FILE
from deployments.kernels.openvino import (
    machine_openvino_probe,
    open_on_openvino,
    why_no_bfloat16,
)
from deployments.kernels.precision_choice import PROMPTS_ONLY
from deployments.kernels.prompt_session import PromptSession
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
    prompt_run: int = 128  # most prompt tokens of one run


def load_decoder(
    builds: Mapping[Graph, Path],
    room: Room,
    choice: ProviderChoice,
    threads: int,
    prompts: Path | None = None,
) -> DecoderSession:
    """`builds` has DECODE at least; `prompts` is a build that only reads them.
    Raises KernelError where one does not load or fit."""
    settings = SessionSettings(threads=threads)
    sessions = {
        graph: open_session(folder / GRAPH_FILE, choice, settings)
        for graph, folder in builds.items()
    }
    decoding = sessions.pop(Graph.DECODE)
    shape = pool_shape(decoding, room.slots, room.context)
    pool: KvPool
    reader: PromptSession | None = None
    if choice.is_host:
        pool = host = HostPool(shape)
        reader = None if prompts is None else load_prompt_session(prompts, host, threads)
    else:
        pool = DevicePool(shape, "cuda", choice)
    memory = None if room.adapters is None else _memory(decoding, room.adapters, choice)
    session = DecoderSession(decoding, pool, sessions, memory, reader)
    if choice.builds_engines:
        _teach_ranges(session, room.prompt_run)
    return session


def _teach_ranges(session: DecoderSession, prompt_run: int) -> None:
    """Runs the smallest and the largest shapes once: TensorRT's engines cover what lies between.

    An engine whose range is left is built again, in minutes, while everybody waits. Ranges
    could be named beforehand (`trt_profile_min_shapes`), but only those of all inputs of all
    parts that a graph is split into, and attention, which TensorRT lacks, splits it everywhere.
    https://github.com/microsoft/onnxruntime/pull/17007
    The ranges are kept with the engines, so the next start only loads them.
    """
    begun_s = time.monotonic()
    session.run_extremes(min(prompt_run, session.max_length))
    LOG.info("TensorRT's engines took %.1f s", time.monotonic() - begun_s)


def load_prompt_session(folder: Path, pool: HostPool, threads: int) -> PromptSession:
    """A build that only reads prompts, on OpenVINO. Raises KernelError where it does not load."""
    return PromptSession(open_on_openvino(folder / GRAPH_FILE, threads), pool)


def load_alone(folder: Path, context: int) -> PromptSession:
    """A build that only reads prompts, with one row of its own. Raises KernelError."""
    session = open_on_openvino(folder / GRAPH_FILE, threads=0)
    (new,) = [value for value in session.get_outputs() if value.name == NEW]
    caches, _, kv_heads, _, head_dim = new.shape
    shape = PoolShape(caches, 1, kv_heads, context, head_dim, ELEMENT_TYPES[new.type])
    return PromptSession(session, HostPool(shape))


def cannot_run(precision: str, choice: ProviderChoice) -> str:
    """Why a precision does not run here, for people; nothing where it does."""
    if choice.is_host and precision in DEVICE_PRECISIONS:
        return f"{precision} needs a GPU, and {choice.reason}; use int8 or fp32 here"
    if precision == PROMPTS_ONLY:
        reason = why_no_bfloat16(machine_openvino_probe()) if choice.is_host else "there is a GPU"
        return f"{precision} is for CPUs that multiply in bfloat16: {reason}" if reason else ""
    return ""


def _memory(
    session: ort.InferenceSession, limits: AdapterLimits, choice: ProviderChoice
) -> AdapterMemory:
    shape = adapter_shape(session, limits)
    LOG.info("%d adapters of rank %d take %d MB", limits.count, limits.rank, shape.bytes >> 20)
    return HostAdapters(shape) if choice.is_host else DeviceAdapters(shape, "cuda", choice)
