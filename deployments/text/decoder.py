"""What the engine asks of a model that is open. `deployments.kernels` keeps this promise.

Token ids and rows of a KV pool only; whose they are is the engine's affair.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from deployments.kernels.decoder_names import Graph
from deployments.kernels.prompt_session import PromptPart

KvTokens = NDArray[np.generic]  # [caches, kv_heads, tokens, head_dim], on the host


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
        self,
        first_row: int,
        token_ids: NDArray[np.int64],
        past: NDArray[np.int32],
        graph: Graph = Graph.DECODE,
        *,
        every: bool = False,
        adapters: NDArray[np.int64] | None = None,
    ) -> NDArray[np.float32]:
        """Appends `token_ids` [B, S] to rows first_row..first_row+B, which hold `past` [B] tokens.

        The logits [B, vocabulary] at each row's last position, or with `every` at all
        of them [B * S, vocabulary], in a buffer that a later run writes over. B > 1
        requires S == 1. `adapters` [B] is each row's adapter slot; None: nobody has one.
        """
        ...

    @property
    def reads_together(self) -> bool:
        """Whether `read` takes several prompts at once."""
        ...

    def read(
        self, parts: Sequence[PromptPart], *, every: bool = False, adapter: int = 0
    ) -> NDArray[np.float32]:
        """Appends parts of prompts, each to its own row; logits [B, vocabulary] at their ends.

        B > 1 where `reads_together`, and without an `adapter`. `every`: of one part alone,
        at all of its tokens [S, vocabulary]. In a buffer that a later run writes over.
        """
        ...

    def move_row(self, source: int, target: int, length: int) -> None:
        """Copies the first `length` tokens of a row over another row."""
        ...

    def copy_out(self, row: int, start: int, stop: int, out: KvTokens | None = None) -> KvTokens:
        """Tokens `start..stop` of a row, as `copy_in` takes them; tokens lie along axis 2.

        In `out` where there is one; it has their shape.
        """
        ...

    def copy_in(self, row: int, start: int, tokens: KvTokens) -> None:
        """Writes what `copy_out` gave to a row, from its token `start` on."""
        ...
