"""What a decoder layer's attention is, and what a graph needs to write it.

Where keys and values lie is a `Form`'s affair: `pool_attention.py` reads and writes
them in the rows of a KV pool, `prompt_attention.py` takes and gives them apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]
Rotary = tuple[str, str]  # tables of cosines and sines [positions, head_dim / 2]

ALL = -1  # a window without an end


@dataclass(frozen=True, slots=True)
class AttentionShape:
    """Grouped-query attention (arXiv:2305.13245): query heads share key and value heads."""

    heads: int
    kv_heads: int
    head_dim: int
    window: int = ALL  # how many positions a token sees, its own included
    scale: float | None = None  # of the scores; None: 1 / sqrt(head_dim)

    @property
    def widths(self) -> tuple[int, int, int]:
        """Of the queries, keys and values of one token."""
        return self.heads * self.head_dim, *(self.kv_heads * self.head_dim,) * 2


@dataclass(frozen=True, slots=True)
class HeadNorms:
    """RMS norms over each head's queries and keys, before they are turned."""

    queries: Vector  # [head_dim]
    keys: Vector
    epsilon: float


class Form(Protocol):
    """Writes attention into one graph, and knows where each new token stands in its row."""

    takes_packed: bool  # queries, keys and values may come in one tensor, keys and values ""

    def attend(
        self,
        layer: int,
        heads: tuple[str, str, str],
        shape: AttentionShape,
        rotary: Rotary | None,
        name: str,
    ) -> str:
        """Queries, keys and values [B, S, heads * head_dim] -> [B, S, heads * head_dim].

        Causal: a token sees those before it in its row, within the window, and itself.
        """
        ...

    def places(self, name: str) -> str:
        """int64 [B, S]: the position of each new token in its row."""
        ...

    def finish(self) -> None:
        """Writes what has to wait until all layers are there."""
        ...
