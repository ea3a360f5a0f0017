"""One encoder replica without Ray: typed requests in, typed results out.

Joins tokenizer, batcher and engine. Blocking work runs in threads, never on the loop.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from bestiary.errors import EngineFailure, InvalidRequest
from bestiary.schemas.encoder import EmbeddingRequest, EmbeddingResult
from bestiary.schemas.replica import ReplicaLoad
from bestiary.schemas.text import CountTokensRequest, EngineTimings, TokenCount
from deployments.encoder.batcher import Batcher, BatcherLimits
from deployments.encoder.engine import EncoderEngine, shortened
from deployments.encoder.tokenization import EncoderTokenizer


class EncoderService:
    """`start` on the running loop, once; `stop` at the end."""

    def __init__(
        self, tokenizer: EncoderTokenizer, engine: EncoderEngine, limits: BatcherLimits
    ) -> None:
        self._tokenizer = tokenizer
        self._width = engine.width
        self._tokenizing = ThreadPoolExecutor(1, thread_name_prefix="tokenize")
        self._running = ThreadPoolExecutor(1, thread_name_prefix="encode")
        self._batcher = Batcher(engine.embed, limits, self._running)

    def start(self) -> None:
        self._batcher.start()

    async def stop(self) -> None:
        await self._batcher.stop()
        self._tokenizing.shutdown(wait=False, cancel_futures=True)
        self._running.shutdown(wait=False, cancel_futures=True)

    async def embed(self, request: EmbeddingRequest) -> EmbeddingResult:
        """Raises InvalidRequest, ContextOverflow, Overloaded, DeadlineExceeded, EngineFailure."""
        arrived = time.perf_counter()
        if request.dimensions is not None and request.dimensions > self._width:
            raise InvalidRequest(
                f"dimensions is {request.dimensions}; the model has {self._width}", "dimensions"
            )
        tokenized = await asyncio.get_running_loop().run_in_executor(
            self._tokenizing, self._tokenizer.encode, request.inputs, request.truncate
        )
        embedded = await self._batcher.embed([one.ids for one in tokenized], request.deadline_s)
        vectors = embedded.vectors
        if request.dimensions is not None:
            vectors = shortened(vectors, request.dimensions)
        return EmbeddingResult(
            vectors=vectors,
            prompt_tokens=tuple(len(one.ids) for one in tokenized),
            truncated=tuple(one.truncated for one in tokenized),
            timings=EngineTimings(
                queue_s=embedded.queue_s,
                prefill_s=embedded.run_s,
                total_s=time.perf_counter() - arrived,
            ),
        )

    async def count_tokens(self, request: CountTokensRequest) -> TokenCount:
        """Special tokens count: they are what `embed` charges."""
        if request.text is None:
            raise InvalidRequest("an encoder has no chat template: give text", "messages")
        ids = await asyncio.get_running_loop().run_in_executor(
            self._tokenizing, self._tokenizer.count, request.text
        )
        return TokenCount(ids)

    def load(self) -> ReplicaLoad:
        return self._batcher.load()

    def check(self) -> None:
        """Raises EngineFailure where no request would ever be answered again."""
        if not self._batcher.is_alive:
            raise EngineFailure("the encoder's batcher has stopped")
