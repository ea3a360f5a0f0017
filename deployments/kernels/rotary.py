"""Rotary position embedding: tables of cosines and sines from a model's config.

RoFormer, arXiv:2104.09864; the scaling of Llama 3 as its config keys define it
(https://github.com/huggingface/transformers, modeling_rope_utils.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from bestiary.errors import KernelError
from deployments.kernels.checkpoint import Config

DEFAULT_THETA = 10_000.0

Frequencies = NDArray[np.float64]
Tables = tuple[NDArray[np.float32], NDArray[np.float32]]


def rotary_tables(config: Config, head_dim: int, positions: int) -> Tables:
    """The tables of a model that turns all its layers alike.

    Raises KernelError for a scaling that is not known.
    """
    # transformers 5 writes `rope_parameters`; 4 wrote `rope_theta` beside `rope_scaling`.
    section = config.section("rope_parameters") or config.section("rope_scaling")
    theta = config.number("rope_theta", DEFAULT_THETA)
    return scaled_tables(section, theta, head_dim, positions)


def scaled_tables(section: Config | None, theta: float, head_dim: int, positions: int) -> Tables:
    """Cosines and sines, each float32 [positions, head_dim / 2], as one section says.

    `theta` where the section names none. Raises KernelError for a scaling that is not known.
    """
    kind = "default"
    if section is not None:
        theta = section.number("rope_theta", theta)
        kind = section.text("rope_type", section.text("type", "default"))
        if section.number("partial_rotary_factor", 1.0) != 1.0:
            raise KernelError("rotary embedding over a part of each head is not supported")
    if kind not in SCALINGS:
        raise KernelError(f"no rope type {kind!r}; known: {', '.join(SCALINGS)}")
    frequencies = theta ** -(np.arange(0, head_dim, 2, dtype=np.float64) / head_dim)
    if section is not None:
        frequencies = SCALINGS[kind](frequencies, section)
    # torch multiplies in float32; so do we, or late positions differ from it.
    angles = np.outer(np.arange(positions, dtype=np.float32), frequencies.astype(np.float32))
    return np.cos(angles), np.sin(angles)


def _plain(frequencies: Frequencies, _: Config) -> Frequencies:
    return frequencies


def _linear(frequencies: Frequencies, section: Config) -> Frequencies:
    return frequencies / section.number("factor")


def _llama3(frequencies: Frequencies, section: Config) -> Frequencies:
    """Long wavelengths are divided by `factor`, short ones kept, those between blended."""
    factor = section.number("factor")
    low, high = section.number("low_freq_factor"), section.number("high_freq_factor")
    original = section.number("original_max_position_embeddings")
    turns = original * frequencies / (2 * math.pi)  # over the original context
    kept = np.clip((turns - low) / (high - low), 0, 1)
    return frequencies * kept + frequencies / factor * (1 - kept)


SCALINGS: Mapping[str, Callable[[Frequencies, Config], Frequencies]] = {
    "default": _plain,
    "linear": _linear,
    "llama3": _llama3,
}
