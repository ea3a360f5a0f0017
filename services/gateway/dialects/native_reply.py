"""The native wire: what callers get. One writer a task; each says its entry of every input."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping

import numpy as np

from bestiary.garden.tasks import Task
from bestiary.schemas.encoder import (
    ClassifyResult,
    EncoderUsage,
    ExplainResult,
    FillMaskResult,
    LabelScore,
    NextSentenceResult,
    RerankResult,
    SimilarityResult,
    TokenClassifyResult,
    TokenEmbeddingResult,
    TokenVectors,
)
from bestiary.schemas.seq2seq import CrossAttention, Seq2SeqChunk, Seq2SeqOutput, Seq2SeqResult
from services.gateway.dialects import native_wire as wire
from services.gateway.dialects.task_events import TaskEvents
from services.gateway.rewriting import Rewriting
from services.gateway.task_usage import TaskUsage

Json = dict[str, object]
SURE = 0.5  # from here on the second text is said to follow the first


def document(request_id: str, model: str, answer: Json, usage: TaskUsage) -> Json:
    """A whole reply; `answer` is what the task's writer made."""
    return {
        "id": request_id,
        "object": "list",
        "model": model,
        **answer,
        "usage": usage.as_json(),
    }


def _entries(usage: EncoderUsage, entries: Iterable[Json]) -> Json:
    cut = zip(entries, usage.truncated, strict=True)
    return {
        "data": [
            {"index": index, "truncated": truncated, **entry}
            for index, (entry, truncated) in enumerate(cut)
        ]
    }


def fill_mask_json(result: FillMaskResult, _: wire.FillMask) -> Json:
    return _entries(
        result.usage,
        (
            {
                "candidates": [
                    {
                        "token": one.token,
                        "token_id": one.token_id,
                        "score": one.score,
                        "sequence": one.sequence,
                    }
                    for one in candidates
                ]
            }
            for candidates in result.candidates
        ),
    )


def next_sentence_json(result: NextSentenceResult, _: wire.NextSentence) -> Json:
    return _entries(
        result.usage,
        (
            {"probability": probability, "is_next": probability >= SURE}
            for probability in result.probabilities
        ),
    )


def classify_json(result: ClassifyResult, _: wire.Classify) -> Json:
    return _entries(
        result.usage,
        (
            {**_label_json(labels[0]), "labels": [_label_json(one) for one in labels]}
            for labels in result.labels
        ),
    )


def _label_json(label: LabelScore) -> Json:
    return {"label": label.label, "score": label.score}


def token_classify_json(result: TokenClassifyResult, _: wire.TokenClassify) -> Json:
    return _entries(
        result.usage,
        (
            {
                "spans": [
                    {
                        "label": span.label,
                        "score": span.score,
                        "start": span.start,
                        "end": span.end,
                        "text": span.text,
                    }
                    for span in spans
                ]
            }
            for spans in result.spans
        ),
    )


def token_embeddings_json(result: TokenEmbeddingResult, body: wire.TokenEmbeddings) -> Json:
    packed = body.encoding_format == "base64"
    return _entries(result.usage, (_token_vectors_json(text, packed) for text in result.texts))


def _token_vectors_json(text: TokenVectors, packed: bool) -> Json:
    vectors = np.ascontiguousarray(text.vectors, dtype="<f4")
    return {
        "tokens": text.tokens,
        "token_ids": text.token_ids,
        "offsets": text.offsets,
        "dimensions": vectors.shape[1],
        "embeddings": base64.b64encode(vectors.tobytes()).decode() if packed else vectors,
    }


def similarity_json(result: SimilarityResult, _: wire.Similarity) -> Json:
    return _entries(result.usage, ({"score": score} for score in result.scores))


def rerank_json(result: RerankResult, body: wire.Rerank) -> Json:
    """As Cohere's and Jina's rerank APIs have it."""
    documents = body.documents if body.return_documents else None
    return {
        "results": [
            {
                "index": one.index,
                "relevance_score": one.relevance_score,
                "truncated": result.usage.truncated[one.index],
                **({} if documents is None else {"document": {"text": documents[one.index]}}),
            }
            for one in result.results
        ]
    }


def explain_json(result: ExplainResult, _: wire.Explain) -> Json:
    entry: Json = {
        "tokens": result.tokens,
        "token_ids": result.token_ids,
        "segment_ids": result.segment_ids,
        "position_ids": result.position_ids,
        "attention": np.ascontiguousarray(result.attention),
    }
    return _entries(result.usage, [entry])


def rewrite_json(result: Seq2SeqResult, _: wire.Rewrite) -> Json:
    return {
        "data": [
            {"index": index, "text": output.text, **_ending_json(output)}
            for index, output in enumerate(result.outputs)
        ]
    }


def _ending_json(output: Seq2SeqOutput) -> Json:
    attention = {} if output.attention is None else {"attention": _looked_json(output.attention)}
    return {
        "finish_reason": output.finish_reason.value,
        "truncated": output.truncated,
        **attention,
    }


def _looked_json(attention: CrossAttention) -> Json:
    return {
        "source_tokens": attention.source_tokens,
        "target_tokens": attention.target_tokens,
        "source_token_ids": attention.source_token_ids,
        "target_token_ids": attention.target_token_ids,
        "weights": np.ascontiguousarray(attention.weights),
    }


class RewriteEvents(TaskEvents[Seq2SeqChunk]):
    def __init__(
        self, request_id: str, task: Task, rewriting: Rewriting, *, include_receipt: bool
    ) -> None:
        model = rewriting.decision.model
        super().__init__(request_id, task, model, include_receipt=include_receipt)
        self._rewriting = rewriting

    def _said(self, index: int, piece: Seq2SeqChunk) -> Json:
        ending: Json = {"finish_reason": None}
        if piece.output is not None:
            ending = _ending_json(piece.output)
        return {"index": index, "text": piece.text, **ending}

    def _usage(self) -> Mapping[str, object]:
        return self._rewriting.usage.as_json()
