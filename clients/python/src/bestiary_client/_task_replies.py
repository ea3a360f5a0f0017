"""The native wire -> what callers get. Pure. Raises UnexpectedReply where the wire is not ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from bestiary_client._errors import UnexpectedReply
from bestiary_client._json import JsonObject, get, get_objects, get_optional
from bestiary_client._numbers import integers, listed, matrix, number, packed_floats, strings
from bestiary_client._receipts import receipt_of
from bestiary_client._replies import usage
from bestiary_client._task_results import (
    Classification,
    CrossAttention,
    Explanation,
    FilledMask,
    LabelScore,
    MaskCandidate,
    NextSentence,
    RankedDocument,
    Results,
    Rewriting,
    Similarity,
    Span,
    TokenSpans,
    TokenVectors,
)

T = TypeVar("T")
Headers = Mapping[str, str]


def results(body: JsonObject, headers: Headers, read: Callable[[JsonObject], T]) -> Results[T]:
    """One per input, by their `index`."""
    rows = sorted(get_objects(body, "data"), key=lambda row: get(row, "index", int))
    return _results(body, headers, tuple(read(row) for row in rows))


def ranking(body: JsonObject, headers: Headers) -> Results[RankedDocument]:
    """As it comes: the best first."""
    rows = get_objects(body, "results")
    return _results(body, headers, tuple(_ranked(row) for row in rows))


def explanation(body: JsonObject, headers: Headers) -> Explanation:
    rows = get_objects(body, "data")
    if len(rows) != 1:
        raise UnexpectedReply("the reply should explain one input")
    row = rows[0]
    tokens = strings(row, "tokens")
    return Explanation(
        model=get(body, "model", str),
        tokens=tokens,
        token_ids=integers(row, "token_ids"),
        segment_ids=integers(row, "segment_ids"),
        position_ids=integers(row, "position_ids"),
        attention=[
            [matrix(head, "attention", len(tokens), len(tokens)) for head in listed(layer, "layer")]
            for layer in get(row, "attention", list)
        ],
        truncated=get(row, "truncated", bool),
        usage=usage(body),
        request_id=headers.get("x-request-id"),
        receipt=receipt_of(body, headers),
    )


def filled_mask(row: JsonObject) -> FilledMask:
    candidates = tuple(
        MaskCandidate(
            get(one, "token", str),
            get(one, "token_id", int),
            number(one, "score"),
            get(one, "sequence", str),
        )
        for one in get_objects(row, "candidates")
    )
    return FilledMask(candidates, get(row, "truncated", bool))


def next_sentence(row: JsonObject) -> NextSentence:
    probability, is_next = number(row, "probability"), get(row, "is_next", bool)
    return NextSentence(probability, is_next, get(row, "truncated", bool))


def classification(row: JsonObject) -> Classification:
    best = _label(row)
    labels = tuple(_label(one) for one in get_objects(row, "labels"))
    return Classification(best.label, best.score, labels, get(row, "truncated", bool))


def token_spans(row: JsonObject) -> TokenSpans:
    spans = tuple(
        Span(
            get(one, "label", str),
            number(one, "score"),
            get(one, "start", int),
            get(one, "end", int),
            get(one, "text", str),
        )
        for one in get_objects(row, "spans")
    )
    return TokenSpans(spans, get(row, "truncated", bool))


def token_vectors(row: JsonObject) -> TokenVectors:
    tokens = strings(row, "tokens")
    width = get(row, "dimensions", int)
    floats = packed_floats(get(row, "embeddings", str), "a token's embedding")
    if len(floats) != len(tokens) * width:
        raise UnexpectedReply("the reply's vectors are not one a token")
    return TokenVectors(
        tokens=tokens,
        token_ids=integers(row, "token_ids"),
        offsets=tuple(_offset(one) for one in get(row, "offsets", list)),
        vectors=tuple(floats[at * width : (at + 1) * width] for at in range(len(tokens))),
        truncated=get(row, "truncated", bool),
    )


def similarity(row: JsonObject) -> Similarity:
    return Similarity(number(row, "score"), get(row, "truncated", bool))


def rewriting(row: JsonObject) -> Rewriting:
    return rewriting_of(row, get(row, "text", str))


def rewriting_of(row: JsonObject, text: str) -> Rewriting:
    """`text` is the whole one: a stream's last piece has only its end."""
    looked = get_optional(row, "attention", dict)
    return Rewriting(
        text,
        get(row, "finish_reason", str),
        get(row, "truncated", bool),
        None if looked is None else _cross_attention(looked),
    )


def _results(body: JsonObject, headers: Headers, items: tuple[T, ...]) -> Results[T]:
    return Results(
        model=get(body, "model", str),
        items=items,
        usage=usage(body),
        request_id=headers.get("x-request-id"),
        receipt=receipt_of(body, headers),
    )


def _ranked(row: JsonObject) -> RankedDocument:
    document = get_optional(row, "document", dict)
    return RankedDocument(
        get(row, "index", int),
        number(row, "relevance_score"),
        get(row, "truncated", bool),
        None if document is None else get(document, "text", str),
    )


def _label(row: JsonObject) -> LabelScore:
    return LabelScore(get(row, "label", str), number(row, "score"))


def _offset(value: object) -> tuple[int, int]:
    start, end = integers({"offset": listed(value, "offsets", 2)}, "offset")
    return start, end


def _cross_attention(looked: JsonObject) -> CrossAttention:
    source, target = strings(looked, "source_tokens"), strings(looked, "target_tokens")
    weights = matrix(looked.get("weights"), "weights", len(target), len(source))
    source_ids, target_ids = (
        integers(looked, f"{side}_token_ids") for side in ("source", "target")
    )
    return CrossAttention(source, target, source_ids, target_ids, weights)
