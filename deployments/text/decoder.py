"""What the engine asks of a model that is open. `deployments.kernels` keeps this promise.

Token ids and rows of a KV pool only; whose they are is the engine's affair.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Decoder(Protocol):
    """A KV pool of `slots` rows, `max_length` tokens each, and the model that fills it.

    Not thread-safe: the engine's thread is the only caller.
    """

    @property
    def slots(self) -> int: ...

    @property
    def max_length(self) -> int: ...

    @property
    def vocabulary(self) -> int: ...

    def run(
        self, first_row: int, token_ids: NDArray[np.int64], past: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """Appends `token_ids` [B, S] to rows first_row..first_row+B, which hold `past` [B] tokens.

        The logits [B, vocabulary] at each row's last position, in a buffer that the
        next run writes over. B > 1 requires S == 1.
        """
        ...

    def move_row(self, source: int, target: int, length: int) -> None:
        """Copies the first `length` tokens of a row over another row."""
        ...

    def copy_out(self, row: int, length: int) -> NDArray[np.float32]:
        """The first `length` tokens of a row, as `copy_in` takes them."""
        ...

    def copy_in(self, row: int, tokens: NDArray[np.float32]) -> None:
        """Writes what `copy_out` gave to the start of a row."""
        ...
