"""The wire -> what callers get. Pure. Raises UnexpectedReply where the wire is not ours."""

from __future__ import annotations

from collections.abc import Mapping

from bestiary_client._errors import ApiError, UnexpectedReply, error_class
from bestiary_client._json import JsonObject, get, get_objects, get_optional, parse_object
from bestiary_client._logprobs import logprobs
from bestiary_client._numbers import packed_floats, strings
from bestiary_client._receipts import LatencyReceipt, receipt_of
from bestiary_client._results import (
    Choice,
    Completion,
    Embeddings,
    Model,
    TokenCount,
    ToolCall,
    Usage,
)
from bestiary_client._retries import parse_retry_after

Headers = Mapping[str, str]


def api_error(status_code: int, headers: Headers, content: bytes) -> ApiError:
    """Also for bodies that are not ours: a proxy may have answered."""
    try:
        told = get(parse_object(content), "error", dict)
    except UnexpectedReply:
        told = {"message": content[:200].decode(errors="replace").strip()}
    return error_told(told, status_code, headers)


def error_told(told: JsonObject, status_code: int | None, headers: Headers) -> ApiError:
    code = told.get("code")
    param = told.get("param")
    code = code if isinstance(code, str) else None
    return error_class(status_code, code)(
        str(told.get("message") or f"HTTP status {status_code}"),
        headers.get("x-request-id"),
        status_code,
        code,
        param if isinstance(param, str) else None,
        parse_retry_after(headers.get("retry-after")),
    )


def completion(body: JsonObject, headers: Headers) -> Completion:
    return completion_of(
        get(body, "id", str),
        get(body, "model", str),
        tuple(_choice(choice) for choice in _some(get_objects(body, "choices"))),
        usage(body),
        receipt_of(body, headers),
        headers,
    )


def completion_of(
    answer_id: str,
    model_id: str,
    choices: tuple[Choice, ...],
    used: Usage | None,
    receipt: LatencyReceipt | None,
    headers: Headers,
) -> Completion:
    """The headers say who answered and why."""
    return Completion(
        id=answer_id,
        model=model_id,
        choices=choices,
        usage=used,
        tier=headers.get("x-bestiary-tier"),
        route_reason=headers.get("x-bestiary-route-reason"),
        request_id=headers.get("x-request-id"),
        receipt=receipt,
    )


def usage(body: JsonObject) -> Usage | None:
    told = get_optional(body, "usage", dict)
    if told is None:
        return None
    details = get_optional(told, "prompt_tokens_details", dict) or {}
    return Usage(
        prompt_tokens=get(told, "prompt_tokens", int),
        completion_tokens=get_optional(told, "completion_tokens", int) or 0,
        cached_tokens=get_optional(details, "cached_tokens", int) or 0,
    )


def embeddings(body: JsonObject, headers: Headers) -> Embeddings:
    rows = sorted(get_objects(body, "data"), key=lambda row: get(row, "index", int))
    told = usage(body)
    return Embeddings(
        model=get(body, "model", str),
        vectors=tuple(packed_floats(get(row, "embedding", str), "an embedding") for row in rows),
        prompt_tokens=told.prompt_tokens if told else 0,
        request_id=headers.get("x-request-id"),
        receipt=receipt_of(body, headers),
    )


def token_count(body: JsonObject, headers: Headers) -> TokenCount:
    return TokenCount(
        model=get(body, "model", str),
        count=get(body, "count", int),
        tokens=tuple(get(body, "tokens", list)),
        request_id=headers.get("x-request-id"),
        receipt=receipt_of(body, headers),
    )


def model(body: JsonObject) -> Model:
    told = get_optional(body, "bestiary", dict) or {}
    return Model(
        id=get(body, "id", str),
        kind=get_optional(told, "kind", str),
        family=get_optional(told, "family", str),
        tier=get_optional(told, "tier", str),
        card=get_optional(told, "card", str),
        context_length=get_optional(told, "context_length", int),
        license=get_optional(told, "license", str),
        tasks=_names(told, "tasks"),
        languages=_names(told, "languages"),
        image=get_optional(told, "image", dict),
    )


def _names(told: JsonObject, field: str) -> tuple[str, ...]:
    """Platforms from before there were tasks say none."""
    return () if told.get(field) is None else strings(told, field)


def receipt_in(content: bytes, headers: Headers) -> LatencyReceipt | None:
    """A refusal's receipt, where there is one."""
    try:
        body: JsonObject | None = parse_object(content)
    except UnexpectedReply:
        body = None
    return receipt_of(body, headers)


def _choice(choice: JsonObject) -> Choice:
    """Chat puts its text into a message, completions do not. Beside calls there may be none."""
    message = get_optional(choice, "message", dict)
    calls = () if message is None else _tool_calls(message)
    if message is None:
        text = get(choice, "text", str)
    elif calls:
        text = get_optional(message, "content", str) or ""
    else:
        text = get(message, "content", str)
    return Choice(
        index=get(choice, "index", int),
        text=text,
        finish_reason=get_optional(choice, "finish_reason", str),
        tool_calls=calls,
        logprobs=logprobs(choice),
    )


def _tool_calls(message: JsonObject) -> tuple[ToolCall, ...]:
    if message.get("tool_calls") is None:
        return ()
    return tuple(_tool_call(call) for call in get_objects(message, "tool_calls"))


def _tool_call(call: JsonObject) -> ToolCall:
    function = get(call, "function", dict)
    return ToolCall(
        get(call, "id", str), get(function, "name", str), get(function, "arguments", str)
    )


def _some(choices: list[JsonObject]) -> list[JsonObject]:
    if not choices:
        raise UnexpectedReply("the reply holds no choice")
    return choices
