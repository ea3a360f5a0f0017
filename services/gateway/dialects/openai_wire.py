"""The OpenAI wire: what callers send, as strict models; not what is done with it.

https://platform.openai.com/docs/api-reference. Extensions of ours, as in vLLM:
`top_k`, `repetition_penalty`. Fields that change nothing here by their nature are
taken and ignored: `user`, `metadata`, `store` and the like. Fields that would change
the answer but are not supported yet are in the tables at the end: they are refused.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from bestiary.schemas.encoder import MAX_INPUTS
from bestiary.schemas.text import MAX_CANDIDATES

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


Inputs = str | list[str] | list[int] | list[list[int]]
Content = Annotated[str, BeforeValidator(_joined)]
Stop = Annotated[list[str], BeforeValidator(_stop_list)]


class Message(_Wire):
    role: Literal["system", "developer", "user", "assistant"]
    content: Content
    name: str | None = None


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
    seed: int | None = None
    stop: Stop = []
    n: Annotated[int, Field(ge=1, le=MAX_CANDIDATES)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    top_k: int | None = Field(None, description="extension: sample from the k likeliest; 0: all")
    repetition_penalty: float | None = Field(None, description="extension: CTRL's penalty")
    user: str | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None


class ChatCompletion(_Sampled):
    messages: list[Message] = Field(min_length=1, max_length=2048)
    max_completion_tokens: int | None = None


class Completion(_Sampled):
    prompt: Annotated[Inputs, BeforeValidator(_some_prompts)]
    echo: bool | None = None


class Embedding(_Wire):
    model: str = Field(min_length=1, max_length=256)
    input: Annotated[Inputs, BeforeValidator(_some_inputs)]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = None
    user: str | None = None


class Tokenize(_Wire):
    """An extension: exactly one of `text` and `messages`."""

    model: str = Field(min_length=1, max_length=256)
    text: str | None = None
    messages: list[Message] | None = Field(None, min_length=1, max_length=2048)


# Field -> the values that ask for nothing (null always does).
Unsupported = Mapping[str, Container[object]]
_UNSUPPORTED_SAMPLING: Unsupported = {
    "logit_bias": ({},),
    "tools": ([],),
    "tool_choice": ("none", "auto"),  # nothing to choose from, as `tools` is refused
    "response_format": ({"type": "text"},),
}
UNSUPPORTED_CHAT: Unsupported = {
    **_UNSUPPORTED_SAMPLING,
    "logprobs": (False,),
    "top_logprobs": (0,),
    "parallel_tool_calls": (True, False),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "modalities": (["text"],),
    "audio": (),
    "prediction": (),
    "web_search_options": (),
    "reasoning_effort": ("none",),
    "verbosity": (),
}
UNSUPPORTED_COMPLETION: Unsupported = {
    **_UNSUPPORTED_SAMPLING,
    "logprobs": (),
    "best_of": (1,),
    "suffix": ("",),
}
# What an SDK's own reply objects bring along when they are sent back as history.
UNSUPPORTED_MESSAGE: Unsupported = {
    "tool_calls": ([],),
    "tool_call_id": (),
    "function_call": (),
    "audio": (),
    "refusal": ("",),
    "annotations": ([],),
}
