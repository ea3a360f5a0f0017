"""One request on its way: its texts become tokens, its tokens answers, and both are accounted.

Knows no task; `service.py` does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from typing import TypeVar

from bestiary.schemas.encoder import EncoderRequest, EncoderUsage, Pair
from bestiary.schemas.text import EngineTimings
from deployments.encoder.batcher import Batcher
from deployments.encoder.heads import Head
from deployments.encoder.tokenization import INPUT, EncoderTokenizer, TokenizedInput, Wording

Made = TypeVar("Made")
Answer = TypeVar("Answer")


class Call:
    """`executor` is where texts are worked on."""

    def __init__(
        self,
        request: EncoderRequest,
        tokenizer: EncoderTokenizer,
        batcher: Batcher,
        executor: Executor,
    ) -> None:
        self._request = request
        self._tokenizer = tokenizer
        self._batcher = batcher
        self._executor = executor
        self._arrived = time.perf_counter()
        self._queue_s = self._run_s = 0.0

    async def tokenized(
        self,
        inputs: Sequence[str | Pair | tuple[int, ...]],
        wording: Wording = INPUT,
        longest: int | None = None,
    ) -> list[TokenizedInput]:
        """Raises InvalidRequest and ContextOverflow, see `EncoderTokenizer.encode`."""
        truncate = self._request.truncate
        return await self.off_loop(
            lambda: self._tokenizer.encode(inputs, truncate, wording, longest)
        )

    async def off_loop(self, make: Callable[[], Made]) -> Made:
        return await asyncio.get_running_loop().run_in_executor(self._executor, make)

    async def answers(
        self, head: Head[Answer], tokenized: Iterable[TokenizedInput]
    ) -> Sequence[Answer]:
        """Raises Overloaded, DeadlineExceeded and EngineFailure."""
        texts = [one.text for one in tokenized]
        answered = await self._batcher.run(head, texts, self._request.deadline_s)
        self._queue_s, self._run_s = answered.queue_s, answered.run_s
        return answered.answers

    def usage(self, *parts: Sequence[TokenizedInput]) -> EncoderUsage:
        """`parts` are what each input consists of: [parts][inputs]."""
        inputs = list(zip(*parts, strict=True))
        return EncoderUsage(
            prompt_tokens=tuple(sum(len(one.ids) for one in parts_of) for parts_of in inputs),
            truncated=tuple(any(one.truncated for one in parts_of) for parts_of in inputs),
            timings=EngineTimings(
                queue_s=self._queue_s,
                prefill_s=self._run_s,
                total_s=time.perf_counter() - self._arrived,
            ),
        )
