"""The native tasks, as one table: path, what goes in, who answers, what comes out.

A new task is an entry here, a wire model and a writer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypedDict, TypeVar

from bestiary.garden.card import Family
from bestiary.garden.tasks import Task
from bestiary.schemas.encoder import (
    ClassifyRequest,
    ExplainRequest,
    FillMaskRequest,
    NextSentenceRequest,
    RerankRequest,
    SimilarityRequest,
    TokenClassifyRequest,
    TokenEmbeddingRequest,
)
from bestiary.schemas.seq2seq import Decoding, Seq2SeqRequest, Seq2SeqResult, Seq2SeqTask
from services.gateway.dialects import native_reply as reply
from services.gateway.dialects import native_wire as wire
from services.gateway.task_usage import Encoded, TaskUsage, usage_of_encoder, usage_of_seq2seq
from services.router import replica_methods
from services.router.replica_methods import Q, R, ReplicaMethod

W = TypeVar("W", bound=wire.Native)
E = TypeVar("E", bound=Encoded)
S = TypeVar("S", bound=wire.Rewrite)
DEFAULT_TOP_K = 5


class Shared(TypedDict):
    """What every replica's request has, whatever the task."""

    request_id: str
    truncate: bool
    deadline_s: float | None


@dataclass(frozen=True)
class NativeTask(Generic[W, Q, R]):
    """One route. `request` may raise pydantic's ValidationError and InvalidRequest."""

    task: Task
    path: str  # under /v1
    description: str
    family: Family
    body: type[W]
    request: Callable[[W, Shared], Q]
    method: ReplicaMethod[Q, R]
    usage: Callable[[R], TaskUsage]
    answer: Callable[[R, W], reply.Json]


def _fill_mask(body: wire.FillMask, shared: Shared) -> FillMaskRequest:
    top_k = DEFAULT_TOP_K if body.top_k is None else body.top_k
    return FillMaskRequest(**shared, inputs=body.inputs(), top_k=top_k)


def _next_sentence(body: wire.NextSentence, shared: Shared) -> NextSentenceRequest:
    return NextSentenceRequest(**shared, pairs=body.every_pair())


def _classify(body: wire.Classify, shared: Shared) -> ClassifyRequest:
    return ClassifyRequest(**shared, inputs=body.every_input())


def _token_classify(body: wire.TokenClassify, shared: Shared) -> TokenClassifyRequest:
    return TokenClassifyRequest(**shared, inputs=body.inputs())


def _token_embeddings(body: wire.TokenEmbeddings, shared: Shared) -> TokenEmbeddingRequest:
    return TokenEmbeddingRequest(**shared, inputs=body.inputs())


def _similarity(body: wire.Similarity, shared: Shared) -> SimilarityRequest:
    return SimilarityRequest(**shared, pairs=body.every_pair())


def _rerank(body: wire.Rerank, shared: Shared) -> RerankRequest:
    return RerankRequest(
        **shared, query=body.query, documents=tuple(body.documents), top_n=body.top_n
    )


def _explain(body: wire.Explain, shared: Shared) -> ExplainRequest:
    return ExplainRequest(**shared, text=body.text, text_pair=body.text_pair)


def _summarize(body: wire.Summarize, shared: Shared) -> Seq2SeqRequest:
    return _rewrite("summarize", body, shared)


def _translate(body: wire.Translate, shared: Shared) -> Seq2SeqRequest:
    return _rewrite("translate", body, shared)


def _rewrite(task: Seq2SeqTask, body: wire.Rewrite, shared: Shared) -> Seq2SeqRequest:
    source, target = body.languages()
    return Seq2SeqRequest(
        **shared,
        task=task,
        inputs=body.inputs(),
        source_language=source,
        target_language=target,
        decoding=_decoding(body),
        return_attention=body.looks(),
    )


def _decoding(body: wire.Rewrite) -> Decoding:
    """What was said; the rest is `Decoding`'s own default."""
    said = body.model_dump(include=set(Decoding.model_fields), exclude_none=True)
    return Decoding.model_validate(said)


def _encoding(
    task: Task,
    path: str,
    description: str,
    body: type[W],
    request: Callable[[W, Shared], Q],
    method: ReplicaMethod[Q, E],
    answer: Callable[[E, W], reply.Json],
) -> NativeTask[W, Q, E]:
    return NativeTask(
        task, path, description, Family.ENCODER, body, request, method, usage_of_encoder, answer
    )


def _rewriting(
    task: Task,
    path: str,
    description: str,
    body: type[S],
    request: Callable[[S, Shared], Seq2SeqRequest],
) -> NativeTask[S, Seq2SeqRequest, Seq2SeqResult]:
    return NativeTask(
        task,
        path,
        description,
        Family.SEQ2SEQ,
        body,
        request,
        replica_methods.GENERATE,
        usage_of_seq2seq,
        reply.rewrite_json,
    )


FILL_MASK = _encoding(
    Task.FILL_MASK,
    "/fill-mask",
    "The likeliest words for the one `[MASK]` of each text.",
    wire.FillMask,
    _fill_mask,
    replica_methods.FILL_MASK,
    reply.fill_mask_json,
)
NEXT_SENTENCE = _encoding(
    Task.NEXT_SENTENCE,
    "/next-sentence",
    "How probable it is that the second text follows the first.",
    wire.NextSentence,
    _next_sentence,
    replica_methods.NEXT_SENTENCE,
    reply.next_sentence_json,
)
CLASSIFY = _encoding(
    Task.CLASSIFY,
    "/classify",
    "Labels of texts, or of pairs of texts, with their scores.",
    wire.Classify,
    _classify,
    replica_methods.CLASSIFY,
    reply.classify_json,
)
TOKEN_CLASSIFY = _encoding(
    Task.TOKEN_CLASSIFY,
    "/token-classify",
    "Labelled spans of texts, by their characters.",
    wire.TokenClassify,
    _token_classify,
    replica_methods.TOKEN_CLASSIFY,
    reply.token_classify_json,
)
TOKEN_EMBED = _encoding(
    Task.TOKEN_EMBED,
    "/token-embeddings",
    "One vector for each token of texts.",
    wire.TokenEmbeddings,
    _token_embeddings,
    replica_methods.TOKEN_EMBED,
    reply.token_embeddings_json,
)
SIMILARITY = _encoding(
    Task.SIMILARITY,
    "/similarity",
    "The cosine of two texts' embeddings.",
    wire.Similarity,
    _similarity,
    replica_methods.SIMILARITY,
    reply.similarity_json,
)
RERANK = _encoding(
    Task.RERANK,
    "/rerank",
    "Documents in the order of their relevance for a query.",
    wire.Rerank,
    _rerank,
    replica_methods.RERANK,
    reply.rerank_json,
)
EXPLAIN = _encoding(
    Task.EXPLAIN,
    "/explain",
    "BERT's three inputs, and what each attention head looked at.",
    wire.Explain,
    _explain,
    replica_methods.EXPLAIN,
    reply.explain_json,
)
SUMMARIZE = _rewriting(
    Task.SUMMARIZE,
    "/summarize",
    "Summaries or titles of texts, whole or streamed as server-sent events.",
    wire.Summarize,
    _summarize,
)
TRANSLATE = _rewriting(
    Task.TRANSLATE,
    "/translate",
    "Translations of texts, whole or streamed as server-sent events.",
    wire.Translate,
    _translate,
)
NATIVE_TASKS: tuple[NativeTask[Any, Any, Any], ...] = (
    FILL_MASK,
    NEXT_SENTENCE,
    CLASSIFY,
    TOKEN_CLASSIFY,
    TOKEN_EMBED,
    SIMILARITY,
    RERANK,
    EXPLAIN,
    SUMMARIZE,
    TRANSLATE,
)
