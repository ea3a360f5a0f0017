"""A router without models for the native tasks: real names and policy, invented answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from bestiary.errors import ContextOverflow, InvalidRequest
from bestiary.garden.card import Family, ModelCard, Source
from bestiary.profile.applications import GatewayArgs, ServedModel
from bestiary.profile.models import Deployment, EncoderEngine, Gateway, Seq2SeqEngine
from bestiary.schemas.encoder import (
    ClassifyRequest,
    ClassifyResult,
    EncoderUsage,
    ExplainRequest,
    ExplainResult,
    FillMaskRequest,
    FillMaskResult,
    LabelScore,
    MaskCandidate,
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
    TokenSpan,
    TokenVectors,
)
from bestiary.schemas.routing import RouteRequest
from bestiary.schemas.seq2seq import (
    CrossAttention,
    Seq2SeqChunk,
    Seq2SeqOutput,
    Seq2SeqRequest,
    Seq2SeqResult,
)
from bestiary.schemas.text import EngineTimings, FinishReason
from services.router.replica_methods import ReplicaMethod
from services.router.routed_call import CallRecord

from gateway_fakes import FakeDispatcher, gateway_args  # isort: skip

LONGEST = 64  # words that a fake model takes
TIMINGS = EngineTimings(1e-5, 3e-5, 5e-5, 1e-4)


def card(card_id: str, architecture: str, languages: tuple[str, ...] = ()) -> ModelCard:
    encoder = architecture.startswith("Bert")
    return ModelCard(
        id=card_id,
        family=Family.ENCODER if encoder else Family.SEQ2SEQ,
        architecture=architecture,
        title=card_id,
        parameters=1000,
        context_length=LONGEST,
        languages=languages,
        license="Apache-2.0",
        provenance="invented",
        sources=(Source(url="file:///nowhere"),),
    )


CARDS = {
    "masks": card("tiny-bert", "BertForPreTraining"),
    "labels": card("tiny-labels", "BertForSequenceClassification"),
    "spans": card("tiny-spans", "BertForTokenClassification"),
    "titles": card("tiny-titles", "T5ForConditionalGeneration"),
    "french": card("tiny-french", "MarianMTModel", ("en-fr",)),
    "german": card("tiny-german", "MarianMTModel", ("en-de",)),
}


def native_args(gateway: Gateway) -> GatewayArgs:
    """What `gateway_args` has, and a deployment for each card."""
    args = gateway_args(gateway)
    more = {
        name: Deployment(
            card=one.id,
            encoder=EncoderEngine() if one.family is Family.ENCODER else None,
            seq2seq=Seq2SeqEngine() if one.family is Family.SEQ2SEQ else None,
        )
        for name, one in CARDS.items()
    }
    deployments = {**args.profile.deployments, **more}
    served = [
        ServedModel(deployment=name, family=one.family, card=one) for name, one in CARDS.items()
    ]
    return GatewayArgs(
        profile=args.profile.model_copy(update={"deployments": deployments}),
        served=(*args.served, *served),
        absent=args.absent,
    )


def usage_of(texts: tuple[str, ...], truncate: bool) -> EncoderUsage:
    """A token a word. Refuses as the replicas do."""
    words = [len(text.split()) for text in texts]
    for index, count in enumerate(words):
        if count > LONGEST and not truncate:
            raise ContextOverflow(
                f"input {index} has {count} tokens; the model takes {LONGEST}", "input", count
            )
    return EncoderUsage(
        prompt_tokens=tuple(min(count, LONGEST) for count in words),
        truncated=tuple(count > LONGEST for count in words),
        timings=TIMINGS,
    )


def fill_mask(request: FillMaskRequest) -> FillMaskResult:
    for index, text in enumerate(request.inputs):
        if text.count("[MASK]") != 1:
            raise InvalidRequest(f"input {index} has {text.count('[MASK]')} masks", "input")
    words = ("sea", "sky", "day", "sun", "man", "way", "end")[: request.top_k]
    return FillMaskResult(
        tuple(
            tuple(
                MaskCandidate(word, place, 0.5 / (place + 1), text.replace("[MASK]", word))
                for place, word in enumerate(words)
            )
            for text in request.inputs
        ),
        usage_of(request.inputs, request.truncate),
    )


def next_sentence(request: NextSentenceRequest) -> NextSentenceResult:
    """It follows where it begins with "Then"."""
    sure = tuple(0.75 if second.startswith("Then") else 0.25 for _, second in request.pairs)
    return NextSentenceResult(sure, usage_of(joined(request.pairs), request.truncate))


def classify(request: ClassifyRequest) -> ClassifyResult:
    texts = joined(request.inputs)
    spam, ham = LabelScore("spam", 0.75), LabelScore("ham", 0.25)
    labels = tuple(
        (spam, ham) if "win" in text else (LabelScore("ham", 0.75), LabelScore("spam", 0.25))
        for text in texts
    )
    return ClassifyResult(labels, usage_of(texts, request.truncate))


def token_classify(request: TokenClassifyRequest) -> TokenClassifyResult:
    """The first word is a span."""
    spans = tuple(
        (TokenSpan("CODE", 0.5, 0, len(text.split()[0]), text.split()[0]),)
        for text in request.inputs
    )
    return TokenClassifyResult(spans, usage_of(request.inputs, request.truncate))


def token_embed(request: TokenEmbeddingRequest) -> TokenEmbeddingResult:
    """The vector of token n is (n, n + 0.5)."""
    texts = []
    for text in request.inputs:
        words = tuple(text.split())
        vectors = np.array([(n, n + 0.5) for n in range(len(words))], dtype=np.float32)
        offsets = tuple((0, len(word)) for word in words)
        texts.append(TokenVectors(words, tuple(range(len(words))), offsets, vectors))
    return TokenEmbeddingResult(tuple(texts), usage_of(request.inputs, request.truncate))


def similarity(request: SimilarityRequest) -> SimilarityResult:
    scores = tuple(1.0 if first == second else 0.25 for first, second in request.pairs)
    return SimilarityResult(scores, usage_of(joined(request.pairs), request.truncate))


def rerank(request: RerankRequest) -> RerankResult:
    """By the words in common."""
    asked = set(request.query.split())
    scores = [len(asked & set(text.split())) / len(asked) for text in request.documents]
    order = sorted(range(len(scores)), key=lambda index: -scores[index])[: request.top_n]
    results = tuple(RankedDocument(index, scores[index]) for index in order)
    return RerankResult(results, usage_of(request.documents, request.truncate))


def explain(request: ExplainRequest) -> ExplainResult:
    """Two layers of one head; every token looks at itself."""
    first, second = request.text.split(), (request.text_pair or "").split()
    tokens = tuple(first + second)
    looked = np.broadcast_to(np.eye(len(tokens), dtype=np.float32), (2, 1, *2 * (len(tokens),)))
    return ExplainResult(
        tokens=tokens,
        token_ids=tuple(range(100, 100 + len(tokens))),
        segment_ids=(0,) * len(first) + (1,) * len(second),
        position_ids=tuple(range(len(tokens))),
        attention=looked,
        usage=usage_of((" ".join(tokens),), request.truncate),
    )


def generate(request: Seq2SeqRequest) -> Seq2SeqResult:
    if request.task == "translate" and request.target_language == "it":
        raise InvalidRequest(
            "give the target_language; tiny-french translates: en-fr", "target_language"
        )
    usage = usage_of(request.inputs, request.truncate)
    counts = zip(request.inputs, usage.prompt_tokens, usage.truncated, strict=True)
    outputs = tuple(output_of(request, text, read, cut) for text, read, cut in counts)
    return Seq2SeqResult(outputs, TIMINGS)


def output_of(request: Seq2SeqRequest, text: str, read: int, truncated: bool) -> Seq2SeqOutput:
    """The text in capitals, as long as it may be."""
    words = text.upper().split()
    kept = words[: request.decoding.max_tokens]
    attention = None
    if request.return_attention:
        weights = np.full((len(kept), len(words)), 1 / len(words), dtype=np.float32)
        ids = tuple(range(len(words)))
        attention = CrossAttention(tuple(text.split()), tuple(kept), ids, ids[: len(kept)], weights)
    reason = FinishReason.STOP if len(kept) == len(words) else FinishReason.LENGTH
    return Seq2SeqOutput(" ".join(kept), reason, read, len(kept), truncated, attention)


ANSWERS: Mapping[str, Callable[[Any], object]] = {
    function.__name__: function
    for function in (
        fill_mask,
        next_sentence,
        classify,
        token_classify,
        token_embed,
        similarity,
        rerank,
        explain,
        generate,
    )
}


def joined(inputs: tuple[str | tuple[str, str], ...]) -> tuple[str, ...]:
    return tuple(one if isinstance(one, str) else " ".join(one) for one in inputs)


class FakeRewriting:
    """One word a step for every input in turn, then the end."""

    def __init__(self, router: NativeDispatcher, request: Seq2SeqRequest, record: CallRecord):
        self.record = record
        self.closed = 0
        self._router = router
        self._chunks = self._make_chunks(generate(request))
        self._taken = 0

    async def __anext__(self) -> Seq2SeqChunk:
        router = self._router
        if router.fail_at is not None and self._taken == router.fail_at:
            assert router.failure is not None
            raise router.failure
        if self._taken >= router.stall_after:
            await asyncio.Event().wait()
        try:
            chunk = next(self._chunks)
        except StopIteration:
            raise StopAsyncIteration from None
        self._taken += 1
        self.record.call_s = self.record.first_chunk_s = 2e-4
        return chunk

    async def aclose(self) -> None:
        self.closed += 1

    def _make_chunks(self, result: Seq2SeqResult) -> Iterator[Seq2SeqChunk]:
        last = len(result.outputs) - 1
        for index, output in enumerate(result.outputs):
            words = output.text.split()
            for word in words[:-1]:
                yield Seq2SeqChunk(index, f"{word} ")
            timings = result.timings if index == last else None
            yield Seq2SeqChunk(index, words[-1], output, timings)


class NativeDispatcher(FakeDispatcher):
    """Also answers the native tasks; `asked` are the replica methods that were called."""

    def __init__(self, args: GatewayArgs) -> None:
        super().__init__(args)
        self.asked: list[str] = []
        self.rewritings: list[FakeRewriting] = []
        self.left = 0  # whole answers that nobody waited for

    async def ask(
        self, route: RouteRequest, method: ReplicaMethod[Any, Any], request: Any
    ) -> tuple[Any, CallRecord]:
        decision = self._take(route, request)
        self.asked.append(method.name)
        if self.stall_after == 0:
            await self._wait_in_vain()
        record = CallRecord(decision, routing_s=1e-5, call_s=2e-4)
        return ANSWERS[method.name](request), record

    async def stream(self, route: RouteRequest, request: Seq2SeqRequest) -> FakeRewriting:
        decision = self._take(route, request)
        self.asked.append("stream")
        call = FakeRewriting(self, request, CallRecord(decision, routing_s=1e-5))
        self.rewritings.append(call)
        if self.stall_after == 0:
            try:
                await self._wait_in_vain()
            finally:
                await call.aclose()
        return call

    async def _wait_in_vain(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.left += 1
