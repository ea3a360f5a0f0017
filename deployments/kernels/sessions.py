"""Opens a graph on chosen execution providers. Knows sessions, not what the graph computes."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import onnxruntime as ort

from bestiary.errors import KernelError
from deployments.kernels.build_cache import precision_of
from deployments.kernels.provider_options import session_providers
from deployments.kernels.providers import ProviderChoice

LOG_ERRORS_ONLY = 3


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """How a session uses the machine."""

    threads: int = 0  # of one run; 0: one per physical core
    spin: bool = True  # threads wait for work by spinning: faster, and takes the core
    spin_between_runs: bool = False  # go on spinning when no run is under way
    log_severity: int = LOG_ERRORS_ONLY


def open_session(
    graph: Path, choice: ProviderChoice, settings: SessionSettings
) -> ort.InferenceSession:
    """Raises KernelError where the graph does not load, or runs elsewhere than was chosen."""
    try:
        providers = session_providers(choice, graph.parent, precision_of(graph.parent))
        session = ort.InferenceSession(graph, _options(settings), providers=providers)
    except Exception as error:  # ORT's own errors share no other base
        raise KernelError(f"ONNX Runtime cannot load {graph}: {error}") from error
    running = tuple(session.get_providers())
    if running[: len(choice.providers)] != choice.providers:
        raise KernelError(f"{graph} runs on {running}, though {choice.providers} were chosen")
    return session


def _options(settings: SessionSettings) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = settings.log_severity
    options.intra_op_num_threads = settings.threads
    # A plan is kept for each shape that was ever run, and shapes are many: it gained nothing.
    options.enable_mem_pattern = False
    if not multiplies_bytes_exactly():
        # AVX2's products of bytes overflow: the slower ones that do not. With VNNI this
        # entry would only cost: a run took five times as long.
        options.add_session_config_entry("session.x64quantprecision", "1")
    options.add_session_config_entry(
        "session.intra_op.allow_spinning", "1" if settings.spin else "0"
    )
    options.add_session_config_entry(
        "session.force_spinning_stop", "0" if settings.spin_between_runs else "1"
    )
    return options


def multiplies_bytes_exactly() -> bool:
    """Whether the CPU has VNNI, whose 8-bit products are summed without saturating."""
    return any("vnni" in flag for flag in cpu_flags())


@functools.cache
def cpu_flags() -> frozenset[str]:
    """What the first processor says that it can do; nothing where there is no /proc/cpuinfo."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return frozenset()
    flags = next((line for line in lines if line.startswith("flags")), "")
    return frozenset(flags.partition(":")[2].split())
