"""A request as the engine takes it: token ids that fit, every default resolved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bestiary.schemas.text import Priority, Sampling
from deployments.kernels.adapters import Lease
from deployments.text.constraints import CompiledGrammar
from deployments.text.logprobs import PromptLogprobs, Spells
from deployments.text.tools.reader import ToolReading


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """Times are seconds of `time.monotonic`."""

    prompt: NDArray[np.int64]  # [prompt tokens], at least one
    sampling: Sampling
    max_tokens: int  # prompt and these fit the context
    seed: int  # 64 bits; the request's own, or a random one
    candidates: int
    arrived_s: float  # at the replica
    deadline_s: float  # the request ends with DeadlineExceeded after it
    echo: str = ""  # said before the first token
    priority: Priority = Priority.INTERACTIVE
    tenant: str = ""
    # Greedy, or drawn with the caller's own seed: the same again, to the last bit.
    reproducible: bool = True
    adapter: Lease | None = None  # the engine releases it when it forgets the request
    grammar: CompiledGrammar | None = None  # what every candidate has to match
    spells: Spells | None = None  # where `sampling.logprobs` asks for some
    # Wants the logits of all positions: `note` them as the prompt is computed, whole, as
    # a prefix that comes from a cache brings no logits.
    prompt_logprobs: PromptLogprobs | None = None
    ranked: bool = False  # last chunks carry `cumulative_logprob`
    tools: ToolReading | None = None  # how calls are read out of the text

    @property
    def adapter_slot(self) -> int:
        """0: the base model."""
        return 0 if self.adapter is None else self.adapter.slot

    @property
    def prefix_seed(self) -> bytes:
        """What a prompt's KV depends on besides its tokens."""
        return b"" if self.adapter is None else self.adapter.name.encode()

    def release(self) -> None:
        """Gives its adapter's slot back; may be called again."""
        if self.adapter is not None:
            self.adapter.release()
