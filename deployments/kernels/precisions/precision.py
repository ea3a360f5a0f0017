"""What a precision writes into a graph: linear layers, the embedding table, the head."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]  # [out, in], as torch stores a linear layer's weight
Vector = NDArray[np.float32]


class Precision(Protocol):
    """Writes matrices into one graph. A row of x gives the same bits whatever is beside it."""

    element_type: int  # of activations and of the KV cache, as ONNX numbers types

    def linear(
        self,
        x: str,
        weight: Matrix,
        bias: Vector | None,
        name: str,
        sizes: Vector | None = None,
    ) -> str:
        """x [..., in] -> [..., out]. `sizes` [in]: how large each input is, where that is known."""
        ...

    def head(self, x: str, weight: Matrix, name: str, output: str) -> None:
        """x [rows, in] -> `output`, float32 [rows, out]. May share the embedding of that `name`."""
        ...

    def embedding(self, ids: str, weight: Matrix, name: str) -> str:
        """ids int64 [B, S] -> rows of weight [rows, width]: [B, S, width]."""
        ...

    def vector(self, value: Vector, name: str) -> str:
        """A bias or a norm's weight, in the activations' type."""
        ...
