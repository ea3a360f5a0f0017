"""The OpenAI wire: what callers send, as strict models; not what is done with it.

https://platform.openai.com/docs/api-reference. Extensions of ours, as in vLLM:
`top_k`, `min_p`, `repetition_penalty`; ours alone: `pooling`. `user` (or
`safety_identifier`, its newer name) keeps an end user on one side of a canary. Fields that change
nothing here by their nature are taken and ignored: `metadata`, `store` and the like. Fields that
would change the answer but are not supported yet are in the tables at the end: they are refused.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from bestiary.schemas.encoder import MAX_INPUTS
from bestiary.schemas.text import MAX_CANDIDATES, MAX_TOP_LOGPROBS
from services.gateway.dialects.openai_tools import Choice, MessageToolCall, Tools
from services.gateway.dialects.response_format import ResponseFormat

MAX_PROMPTS = 64
COMPLETION_MAX_TOKENS = 16  # where /v1/completions is not told
MAX_TOKEN_ID = 2**31 - 1


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _joined(content: object) -> object:
    """A list of text parts is their concatenation."""
    if not isinstance(content, list):
        return content
    texts: list[str] = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind != "text":
            raise ValueError(f"only content parts of type 'text' are supported, not {kind!r}")
        text = part.get("text")
        if not isinstance(text, str):
            raise ValueError("a text part needs a string field 'text'")  # noqa: TRY004
        texts.append(text)
    return "".join(texts)


def _stop_list(stop: object) -> object:
    if stop is None:
        return []
    several = [stop] if isinstance(stop, str) else stop
    if isinstance(several, list) and "" in several:
        raise ValueError("a stop sequence must not be empty")
    return several


def _is_token_ids(value: object) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(type(token) is int and 0 <= token <= MAX_TOKEN_ID for token in value)
    )


def _checked_inputs(given: object, most: int) -> object:
    """Here, not by the union: its errors would name branches of ours that no caller knows."""
    if isinstance(given, str) or _is_token_ids(given):
        return given
    if not isinstance(given, list) or not given:
        raise ValueError("give a string, a list of strings, token ids, or a list of those")
    if len(given) > most:
        raise ValueError(f"{len(given)} inputs in one request; at most {most} are taken")
    if not (all(isinstance(one, str) for one in given) or all(map(_is_token_ids, given))):
        raise ValueError(
            "every input must be a string, or every one a list of at least one token id"
        )
    return given


def _some_prompts(given: object) -> object:
    return _checked_inputs(given, MAX_PROMPTS)


def _some_inputs(given: object) -> object:
    if given == "" or (isinstance(given, list) and "" in given):
        raise ValueError("an input must not be empty")
    return _checked_inputs(given, MAX_INPUTS)


def _biases(given: object) -> object:
    """Token ids are strings on this wire, as JSON's keys are."""
    if not isinstance(given, dict):
        return given
    for token in given:
        if not (isinstance(token, str) and token.isascii() and token.isdigit()):
            raise ValueError(f"{token!r} is not a token id")
        if int(token) > MAX_TOKEN_ID:
            raise ValueError(f"there is no token {token}")
    return {int(token): bias for token, bias in given.items()}


Inputs = str | list[str] | list[int] | list[list[int]]
Content = Annotated[str, BeforeValidator(_joined)]
Stop = Annotated[list[str], BeforeValidator(_stop_list)]
LogitBias = Annotated[dict[int, Annotated[float, Field(ge=-100, le=100)]], BeforeValidator(_biases)]
TopLogprobs = Annotated[int, Field(ge=0, le=MAX_TOP_LOGPROBS)]


class Message(_Wire):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    tool_calls: list[MessageToolCall] | None = None
    tool_call_id: str | None = Field(None, validate_default=True)
    content: Content | None = Field(None, validate_default=True)
    name: str | None = None

    @field_validator("content")
    @classmethod
    def _something_said(cls, content: str | None, info: ValidationInfo) -> str | None:
        if content is None and not info.data.get("tool_calls"):
            raise ValueError("it must be there, unless an assistant's message has tool_calls")
        return content

    @field_validator("tool_calls")
    @classmethod
    def _assistants_only(
        cls, calls: list[MessageToolCall] | None, info: ValidationInfo
    ) -> list[MessageToolCall] | None:
        if calls and info.data.get("role") != "assistant":
            raise ValueError("only an assistant's message may have them")
        return calls

    @field_validator("tool_call_id")
    @classmethod
    def _tools_only(cls, call_id: str | None, info: ValidationInfo) -> str | None:
        if (call_id is not None) != (info.data.get("role") == "tool"):
            raise ValueError("a message of role 'tool' needs it, and no other may have it")
        return call_id


class StreamOptions(_Wire):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None  # ignored: padding against traffic analysis


class _Sampled(_Wire):
    """What chat and completions share. Bounds that our schemas state are checked there."""

    model: str = Field(min_length=1, max_length=256)
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: LogitBias | None = None
    seed: int | None = None
    stop: Stop = []
    n: Annotated[int, Field(ge=1, le=MAX_CANDIDATES)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None
    top_k: int | None = Field(None, description="extension: sample from the k likeliest; 0: all")
    min_p: float | None = Field(
        None, description="extension: least share of the likeliest token's probability; 0: all"
    )
    repetition_penalty: float | None = Field(None, description="extension: CTRL's penalty")
    user: str | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None

    def end_user(self) -> str | None:
        return self.user or self.safety_identifier


class ChatCompletion(_Sampled):
    messages: list[Message] = Field(min_length=1, max_length=2048)
    max_completion_tokens: int | None = None
    logprobs: bool | None = None
    top_logprobs: TopLogprobs | None = None
    tools: Tools | None = None
    tool_choice: Choice = None
    parallel_tool_calls: bool | None = None


class Completion(_Sampled):
    prompt: Annotated[Inputs, BeforeValidator(_some_prompts)]
    echo: bool | None = None
    logprobs: TopLogprobs | None = None
    best_of: Annotated[int, Field(ge=1, le=MAX_CANDIDATES)] | None = None


class Embedding(_Wire):
    model: str = Field(min_length=1, max_length=256)
    input: Annotated[Inputs, BeforeValidator(_some_inputs)]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = None
    pooling: Literal["mean", "cls", "pooler"] | None = Field(
        None, description="extension: how tokens' vectors become one; null: the model's own way"
    )
    user: str | None = None


class Tokenize(_Wire):
    """An extension: exactly one of `text` and `messages`, and what else a prompt is made of."""

    model: str = Field(min_length=1, max_length=256)
    text: str | None = None
    messages: list[Message] | None = Field(None, min_length=1, max_length=2048)
    tools: Tools | None = None
    tool_choice: Choice = None


# Field -> the values that ask for nothing (null always does).
Unsupported = Mapping[str, Container[object]]
UNSUPPORTED_CHAT: Unsupported = {
    "functions": ([],),  # `tools` replaced them
    "function_call": ("none", "auto"),
    "modalities": (["text"],),
    "audio": (),
    "prediction": (),
    "web_search_options": (),
    "reasoning_effort": ("none",),
    "verbosity": (),
}
UNSUPPORTED_COMPLETION: Unsupported = {
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "suffix": ("",),
}
# What an SDK's own reply objects bring along when they are sent back as history.
UNSUPPORTED_MESSAGE: Unsupported = {
    "function_call": (),
    "audio": (),
    "refusal": ("",),
    "annotations": ([],),
}
IGNORED_IN_MESSAGES = ("parsed",)  # of OpenAI's SDK: `content` again, as an object
