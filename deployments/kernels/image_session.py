"""The open graphs of an image model: named arrays in, arrays out. Knows no pictures.

Sessions are thread-safe here: nothing is kept between runs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from bestiary.errors import KernelError
from deployments.kernels.image_names import FACTS_FILE
from deployments.kernels.image_runtime import open_image_graph
from deployments.kernels.model_files import GRAPH_FILE
from deployments.kernels.providers import CPU_ONLY, ProviderChoice
from deployments.kernels.sessions import SessionSettings

Array = NDArray[np.generic]
Floats = NDArray[np.float32]


class Networks(Protocol):
    """The parts of one model: `ImageParts`, or torch's own modules where they are compared."""

    def has(self, part: str) -> bool: ...

    def facts(self, part: str) -> Mapping[str, Any]:
        """What its exporter said of it."""
        ...

    def run(self, part: str, given: Mapping[str, Array]) -> tuple[Floats, ...]:
        """Raises KeyError where there is no such part, KernelError where it does not run."""
        ...


class ImageParts:
    """`Networks` on ONNX Runtime."""

    def __init__(
        self, sessions: Mapping[str, ort.InferenceSession], facts: Mapping[str, Mapping[str, Any]]
    ) -> None:
        self._sessions = sessions
        self._facts = facts

    def has(self, part: str) -> bool:
        return part in self._sessions

    def facts(self, part: str) -> Mapping[str, Any]:
        return self._facts[part]

    def run(self, part: str, given: Mapping[str, Array]) -> tuple[Floats, ...]:
        session = self._sessions[part]
        try:
            return tuple(session.run(None, dict(given)))
        except Exception as error:  # ORT's own errors share no other base
            raise KernelError(f"{part} does not run: {error}") from error


def open_parts(
    folder: Path, precision: str, threads: int, choice: ProviderChoice = CPU_ONLY
) -> ImageParts:
    """All graphs of a build. `threads` 0: all cores. Raises KernelError."""
    facts = read_facts(folder)["parts"]
    settings = SessionSettings(threads=threads)
    sessions = {
        name: open_image_graph(folder / name / GRAPH_FILE, precision, choice, settings)
        for name in facts
    }
    return ImageParts(sessions, facts)


def read_facts(folder: Path) -> dict[str, Any]:
    """Raises KernelError where the build is not whole."""
    try:
        found: dict[str, Any] = json.loads((folder / FACTS_FILE).read_bytes())
    except (OSError, ValueError) as error:
        raise KernelError(f"{folder} is no build of an image model: {error}") from error
    return found
