"""The PaLM wire: what callers send, as models; not what is done with it.

https://ai.google.dev/api/palm. Proto3's JSON: names in lowerCamelCase or
snake_case, enums as names or integers, numbers perhaps as strings.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from bestiary.schemas.text import MAX_CANDIDATES
from services.gateway.dialects.response_format import ResponseFormat

MAX_TEXTS = 100  # of one batchEmbedText, as PaLM


class _Wire(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True
    )


class TextPrompt(_Wire):
    text: str = Field(min_length=1)


class Message(_Wire):
    content: str
    author: str = ""
    citation_metadata: dict[str, object] | None = None  # of an earlier reply; ignored


class Example(_Wire):
    input: Message
    output: Message


class MessagePrompt(_Wire):
    messages: list[Message] = Field(min_length=1, max_length=2048)
    context: str = ""
    examples: list[Example] = Field([], max_length=256)


class SafetySetting(_Wire):
    """Taken and not acted upon: there is no safety classifier here, and none is claimed."""

    category: int | str
    threshold: int | str


class _ForModel(_Wire):
    model: str | None = None  # the path's model counts


class _Sampled(_ForModel):
    temperature: float | None = None
    candidate_count: Annotated[int, Field(ge=1, le=MAX_CANDIDATES)] | None = None
    top_p: float | None = None
    top_k: int | None = None
    response_format: ResponseFormat | None = Field(
        None, description="extension: what the answer has to match, as OpenAI's"
    )


class GenerateText(_Sampled):
    prompt: TextPrompt
    max_output_tokens: int | None = None
    stop_sequences: list[Annotated[str, Field(min_length=1)]] = []
    safety_settings: list[SafetySetting] = []


class GenerateMessage(_Sampled):
    prompt: MessagePrompt


class EmbedText(_ForModel):
    text: str = Field(min_length=1)


class BatchEmbedText(_ForModel):
    """`texts`, or `requests` as later clients of v1beta send them; exactly one."""

    texts: list[Annotated[str, Field(min_length=1)]] = Field([], max_length=MAX_TEXTS)
    requests: list[EmbedText] = Field([], max_length=MAX_TEXTS)


class CountTextTokens(_ForModel):
    prompt: TextPrompt


class CountMessageTokens(_ForModel):
    prompt: MessagePrompt
