"""What callers say -> the OpenAI wire under /v1. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from typing_extensions import Required, TypedDict

from bestiary_client._json import JsonObject
from bestiary_client._timeouts import Timeout
from bestiary_client._tools import MessageToolCall, ResponseFormat, Tool, ToolChoice
from bestiary_client._uploads import Upload

DEFAULT_TEXT_MODEL = "gecko"
DEFAULT_EMBEDDING_MODEL = "auto"
Pooling = Literal["mean", "cls", "pooler"]


class Message(TypedDict, total=False):
    """One turn of a conversation."""

    role: Required[Literal["system", "developer", "user", "assistant", "tool"]]
    content: Required[str | None]  # None: an assistant's message that only calls tools
    name: str
    tool_calls: Sequence[MessageToolCall]  # role assistant
    tool_call_id: str  # role tool: the call that `content` is the result of


class RoutingOptions(TypedDict, total=False):
    """Who answers, and how long that may take. None is as good as left out."""

    model: str | None  # a tier, `auto`, a model's id or an alias
    strict: bool  # refuse rather than let another tier or model stand in
    timeout: float | Timeout | None  # seconds; default: the client's


class TextOptions(RoutingOptions, total=False):
    """How tokens are chosen. What is left out is up to the model's card."""

    max_tokens: int | None
    temperature: float | None  # 0..2, 0 is greedy
    top_p: float | None
    top_k: int | None  # 0: no limit
    min_p: float | None  # least share of the likeliest token's probability; 0: no limit
    repetition_penalty: float | None
    presence_penalty: float | None
    frequency_penalty: float | None
    logit_bias: Mapping[int, float] | None  # token id -> -100 (never) .. 100 (nothing else)
    seed: int | None
    stop: str | Sequence[str] | None
    n: int | None  # choices per prompt
    logprobs: int | None  # of each token, and of so many likeliest ones at its place; 0..20
    response_format: ResponseFormat | None  # what the answer has to match


class ChatOptions(TextOptions, total=False):
    """Of conversations alone."""

    tools: Sequence[Tool] | None
    tool_choice: ToolChoice | None
    parallel_tool_calls: bool | None


class CompleteOptions(TextOptions, total=False):
    """Of plain texts alone."""

    best_of: int | None  # write so many, give out the `n` likeliest; cannot be streamed
    echo: bool | None  # begin with the prompt; with `logprobs`, its own too. Allows max_tokens=0


@dataclass(frozen=True)
class Call:
    """One HTTP request, before keys and timeouts.

    One with an `upload` is never tried again: what it sends could be stored twice.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    body: JsonObject | None = None
    upload: Upload | None = None
    params: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    timeout: float | Timeout | None = None


_SAMPLING = (
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "n",
    "response_format",
    "tool_choice",
    "parallel_tool_calls",
    "best_of",
    "echo",
)


def chat_call(messages: str | Sequence[Message], options: ChatOptions, stream: bool) -> Call:
    """A plain string is one message of the user."""
    refuse_unknown(options, ChatOptions)
    body: JsonObject = {"messages": _messages(messages)}
    tools, logprobs = options.get("tools"), options.get("logprobs")
    if tools is not None:
        body["tools"] = list(tools)
    if logprobs is not None:
        body.update(logprobs=True, top_logprobs=logprobs)
    return _text_call("/v1/chat/completions", body, options, stream)


def complete_call(prompt: str | Sequence[str], options: CompleteOptions, stream: bool) -> Call:
    refuse_unknown(options, CompleteOptions)
    body: JsonObject = {"prompt": prompt if isinstance(prompt, str) else list(prompt)}
    logprobs = options.get("logprobs")
    if logprobs is not None:
        body["logprobs"] = logprobs
    return _text_call("/v1/completions", body, options, stream)


def embed_call(
    texts: str | Sequence[str],
    dimensions: int | None,
    pooling: Pooling | None,
    options: RoutingOptions,
) -> Call:
    refuse_unknown(options, RoutingOptions)
    body: JsonObject = {
        "model": model_of(options, DEFAULT_EMBEDDING_MODEL),
        "input": [texts] if isinstance(texts, str) else list(texts),
        "encoding_format": "base64",
    }
    if dimensions is not None:
        body["dimensions"] = dimensions
    if pooling is not None:
        body["pooling"] = pooling
    return post_call("/v1/embeddings", body, options)


def count_call(text: str | Sequence[Message], options: RoutingOptions) -> Call:
    """A string is counted as it stands, messages with the model's chat template."""
    refuse_unknown(options, RoutingOptions)
    body: JsonObject = {"model": model_of(options, DEFAULT_TEXT_MODEL)}
    if isinstance(text, str):
        body["text"] = text
    else:
        body["messages"] = _messages(text)
    return post_call("/v1/tokenize", body, options)


def _text_call(path: str, prompt: JsonObject, options: TextOptions, stream: bool) -> Call:
    body: JsonObject = {"model": model_of(options, DEFAULT_TEXT_MODEL), **prompt}
    chosen: JsonObject = {**options}
    body.update({name: chosen[name] for name in _SAMPLING if chosen.get(name) is not None})
    stop = options.get("stop")
    if stop is not None:
        body["stop"] = [stop] if isinstance(stop, str) else list(stop)
    biases = options.get("logit_bias")
    if biases:
        body["logit_bias"] = {str(token): bias for token, bias in biases.items()}
    if stream:
        body.update(stream=True, stream_options={"include_usage": True})
    return post_call(path, body, options)


def post_call(path: str, body: JsonObject, options: RoutingOptions) -> Call:
    headers = {"x-bestiary-receipt": "body"}
    if options.get("strict"):
        headers["x-bestiary-strict"] = "true"
    return Call("POST", path, body, headers=headers, timeout=options.get("timeout"))


def refuse_unknown(options: Mapping[str, object], known: type) -> None:
    """A misspelt option must not be ignored; type checkers find it earlier."""
    unknown = sorted(options.keys() - known.__annotations__.keys())
    if unknown:
        raise TypeError(f"unknown option {unknown[0]!r}; known: {', '.join(known.__annotations__)}")


def model_of(options: RoutingOptions, default: str) -> str:
    model = options.get("model")
    return default if model is None else model


def _messages(given: str | Sequence[Message]) -> list[JsonObject]:
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    return [{**message} for message in given]
