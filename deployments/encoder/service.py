"""One encoder replica without Ray: typed requests in, typed results out.

Joins tokenizer, batcher and engine. Blocking work runs in threads, never on the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from bestiary.errors import EngineFailure, InvalidRequest
from bestiary.garden.tasks import Task
from bestiary.schemas.encoder import (
    MAX_EXPLAINED_TOKENS,
    MAX_TOKEN_VECTORS,
    ClassifyRequest,
    ClassifyResult,
    EmbeddingRequest,
    EmbeddingResult,
    EncoderRequest,
    EncoderUsage,
    ExplainRequest,
    ExplainResult,
    FillMaskRequest,
    FillMaskResult,
    LabelScore,
    NextSentenceRequest,
    NextSentenceResult,
    RankedDocument,
    RerankRequest,
    RerankResult,
    SimilarityRequest,
    SimilarityResult,
    TokenClassifyRequest,
    TokenClassifyResult,
    TokenEmbeddingRequest,
    TokenEmbeddingResult,
    TokenVectors,
)
from bestiary.schemas.replica import ReplicaLoad
from bestiary.schemas.text import CountTokensRequest, TokenCount
from deployments.encoder.batcher import Batcher, BatcherLimits
from deployments.encoder.call import Call
from deployments.encoder.engine import EncoderCounts, EncoderEngine, shortened
from deployments.encoder.heads import (
    Attention,
    Floats,
    MaskedWord,
    TextOutput,
    TokenOutput,
    sigmoid,
    softmax,
)
from deployments.encoder.masks import MaskedTexts
from deployments.encoder.served import ServedEncoder
from deployments.encoder.spans import spans_of
from deployments.encoder.tokenization import EncoderTokenizer, Wording
from deployments.kernels.encoder_names import Output

PAIR = Wording("pair", "pairs")
TEXT = Wording("the text", "text", is_only=True)
QUERY = Wording("the query", "query", is_only=True)
DOCUMENT = Wording("document", "documents")
TEXT_OF_PAIR = Wording("text", "pairs")
FOLLOWS = 0  # BERT's first class of a pair: the second text follows the first


class EncoderService:
    """`start` on the running loop, once; `stop` at the end.

    Each task raises UnsupportedParameter where the model has no head for it, InvalidRequest,
    ContextOverflow, Overloaded, DeadlineExceeded and EngineFailure.
    """

    def __init__(
        self,
        tokenizer: EncoderTokenizer,
        engine: EncoderEngine,
        served: ServedEncoder,
        limits: BatcherLimits,
    ) -> None:
        self._tokenizer = tokenizer
        self._engine = engine
        self._served = served
        self._tokenizing = ThreadPoolExecutor(1, thread_name_prefix="tokenize")
        self._running = ThreadPoolExecutor(1, thread_name_prefix="encode")
        self._batcher = Batcher(engine.run, limits, self._running)

    def start(self) -> None:
        self._batcher.start()

    async def stop(self) -> None:
        await self._batcher.stop()
        self._tokenizing.shutdown(wait=False, cancel_futures=True)
        self._running.shutdown(wait=False, cancel_futures=True)

    async def embed(self, request: EmbeddingRequest) -> EmbeddingResult:
        call = self._call(Task.EMBED, request)
        output, width = self._served.pooled(request.pooling), self._served.width
        if request.dimensions is not None and request.dimensions > width:
            raise InvalidRequest(
                f"dimensions is {request.dimensions}; the model has {width}", "dimensions"
            )
        tokenized = await call.tokenized(request.inputs)
        vectors = np.stack(await call.answers(TextOutput(output), tokenized))
        if request.dimensions is not None:
            vectors = shortened(vectors, request.dimensions)
        usage = call.usage(tokenized)
        return EmbeddingResult(vectors, usage.prompt_tokens, usage.truncated, usage.timings)

    async def token_embed(self, request: TokenEmbeddingRequest) -> TokenEmbeddingResult:
        call = self._call(Task.TOKEN_EMBED, request)
        tokenized = await call.tokenized(request.inputs)
        tokens = sum(len(one.ids) for one in tokenized)
        if tokens > MAX_TOKEN_VECTORS:
            raise InvalidRequest(
                f"the inputs have {tokens} tokens; one request takes {MAX_TOKEN_VECTORS}", "input"
            )
        rows = await call.answers(TokenOutput(Output.HIDDEN), tokenized)
        texts = tuple(
            TokenVectors(one.tokens, one.ids, one.offsets, vectors)
            for one, vectors in zip(tokenized, rows, strict=True)
        )
        return TokenEmbeddingResult(texts, call.usage(tokenized))

    async def fill_mask(self, request: FillMaskRequest) -> FillMaskResult:
        call = self._call(Task.FILL_MASK, request)
        masked = await call.off_loop(
            lambda: MaskedTexts(self._tokenizer, request.inputs, request.truncate)
        )
        words = await call.answers(MaskedWord(), masked.tokenized)
        found = await call.off_loop(lambda: masked.candidates(words, request.top_k))
        return FillMaskResult(tuple(found), call.usage(masked.tokenized))

    async def next_sentence(self, request: NextSentenceRequest) -> NextSentenceResult:
        call = self._call(Task.NEXT_SENTENCE, request)
        tokenized = await call.tokenized(request.pairs, PAIR)
        logits = np.stack(await call.answers(TextOutput(Output.NEXT), tokenized))
        return NextSentenceResult(_numbers(softmax(logits)[:, FOLLOWS]), call.usage(tokenized))

    async def classify(self, request: ClassifyRequest) -> ClassifyResult:
        call = self._call(Task.CLASSIFY, request)
        tokenized = await call.tokenized(request.inputs)
        logits = np.stack(await call.answers(TextOutput(Output.CLASSES), tokenized))
        labels = self._served.class_labels
        apart = self._served.several_labels or len(labels) == 1
        shares = sigmoid(logits) if apart else softmax(logits)
        return ClassifyResult(
            tuple(_best_first(labels, row) for row in shares), call.usage(tokenized)
        )

    async def token_classify(self, request: TokenClassifyRequest) -> TokenClassifyResult:
        call = self._call(Task.TOKEN_CLASSIFY, request)
        tokenized = await call.tokenized(request.inputs)
        rows = await call.answers(TokenOutput(Output.TOKENS), tokenized)
        labels = self._served.token_labels
        spans = await call.off_loop(
            lambda: tuple(
                spans_of(text, one, softmax(logits), labels)
                for text, one, logits in zip(request.inputs, tokenized, rows, strict=True)
            )
        )
        return TokenClassifyResult(spans, call.usage(tokenized))

    async def rerank(self, request: RerankRequest) -> RerankResult:
        """Stable: documents of one score stay in their order."""
        call = self._call(Task.RERANK, request)
        if self._served.is_cross_encoder:
            scores, usage = await self._cross_scores(call, request)
        else:
            scores, usage = await self._cosines(call, request)
        order = np.argsort(-scores, kind="stable")[: request.top_n]
        results = tuple(RankedDocument(int(index), float(scores[index])) for index in order)
        return RerankResult(results, usage)

    async def similarity(self, request: SimilarityRequest) -> SimilarityResult:
        """A text that is in several pairs is read once."""
        call = self._call(Task.SIMILARITY, request)
        place = {
            text: row
            for row, text in enumerate(
                dict.fromkeys(text for pair in request.pairs for text in pair)
            )
        }
        tokenized = await call.tokenized(tuple(place), TEXT_OF_PAIR)
        vectors = np.stack(await call.answers(TextOutput(self._served.pooling), tokenized))
        rows = np.array([[place[text] for text in pair] for pair in request.pairs])
        scores = np.einsum("ij,ij->i", vectors[rows[:, 0]], vectors[rows[:, 1]])
        pairs = [[tokenized[row] for row in pair] for pair in rows]
        return SimilarityResult(_numbers(scores), call.usage(*zip(*pairs, strict=True)))

    async def explain(self, request: ExplainRequest) -> ExplainResult:
        call = self._call(Task.EXPLAIN, request)
        pair = request.text_pair
        value = request.text if pair is None else (request.text, pair)
        tokenized = await call.tokenized([value], TEXT, MAX_EXPLAINED_TOKENS)
        (one,) = tokenized
        (attention,) = await call.answers(Attention(), tokenized)
        return ExplainResult(
            tokens=one.tokens,
            token_ids=one.ids,
            segment_ids=one.segments or (0,) * len(one.ids),
            position_ids=tuple(range(len(one.ids))),
            attention=attention,
            usage=call.usage(tokenized),
        )

    async def count_tokens(self, request: CountTokensRequest) -> TokenCount:
        """Special tokens count: they are what `embed` charges."""
        if request.text is None:
            raise InvalidRequest("an encoder has no chat template: give text", "messages")
        text = request.text
        ids = await asyncio.get_running_loop().run_in_executor(
            self._tokenizing, self._tokenizer.count, text
        )
        return TokenCount(ids)

    def load(self) -> ReplicaLoad:
        return self._batcher.load()

    def counts(self) -> EncoderCounts:
        return self._engine.counts

    def check(self) -> None:
        """Raises EngineFailure where no request would ever be answered again."""
        if not self._batcher.is_alive:
            raise EngineFailure("the encoder's batcher has stopped")

    def _call(self, task: Task, request: EncoderRequest) -> Call:
        """Raises UnsupportedParameter where the model cannot do the task."""
        self._served.require(task)
        return Call(request, self._tokenizer, self._batcher, self._tokenizing)

    async def _cross_scores(
        self, call: Call, request: RerankRequest
    ) -> tuple[Floats, EncoderUsage]:
        """Query and document read together: the probability that a cross-encoder gives."""
        tokenized = await call.off_loop(
            lambda: self._tokenizer.encode_after(request.query, request.documents, request.truncate)
        )
        logits = await call.answers(TextOutput(Output.CLASSES), tokenized)
        return sigmoid(np.concatenate(logits)), call.usage(tokenized)

    async def _cosines(self, call: Call, request: RerankRequest) -> tuple[Floats, EncoderUsage]:
        query = await call.off_loop(lambda: self._tokenizer.encode([request.query], False, QUERY))
        documents = await call.tokenized(request.documents, DOCUMENT)
        vectors = await call.answers(TextOutput(self._served.pooling), [*query, *documents])
        scores: Floats = np.stack(vectors[1:]) @ vectors[0]
        usage = call.usage(documents)
        first, *others = usage.prompt_tokens
        return scores, replace(usage, prompt_tokens=(first + len(query[0].ids), *others))


def _best_first(labels: Sequence[str], scores: Floats) -> tuple[LabelScore, ...]:
    order = np.argsort(-scores, kind="stable")
    return tuple(LabelScore(labels[index], float(scores[index])) for index in order)


def _numbers(values: Floats) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
