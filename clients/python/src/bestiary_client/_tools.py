"""What callers say of tools and of an answer's format, as the OpenAI wire has it. Types only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from typing_extensions import NotRequired, Required, TypedDict


class Function(TypedDict, total=False):
    name: Required[str]
    description: str
    parameters: Mapping[str, object]  # JSON Schema of an object; left out: it takes no arguments
    strict: bool  # hold its calls to `parameters` even where it is called freely


class Tool(TypedDict):
    """A function that the model may ask for; running it is up to you."""

    type: Literal["function"]
    function: Function


class ToolName(TypedDict):
    name: str


class NamedTool(TypedDict):
    """The tool that has to be called."""

    type: Literal["function"]
    function: ToolName


ToolChoice = Literal["none", "auto", "required"] | NamedTool


class CalledFunction(TypedDict):
    name: str
    arguments: str  # JSON, as the model wrote it


class MessageToolCall(TypedDict):
    """A call of an earlier answer, in an assistant's message."""

    id: str
    type: Literal["function"]
    function: CalledFunction


class JsonSchema(TypedDict):
    name: str
    schema: Mapping[str, object]
    description: NotRequired[str]
    strict: NotRequired[bool]  # refuse what cannot be enforced rather than leave it out


class JsonSchemaFormat(TypedDict):
    type: Literal["json_schema"]
    json_schema: JsonSchema


class JsonObjectFormat(TypedDict):
    """Any JSON object."""

    type: Literal["json_object"]


class RegexFormat(TypedDict):
    """The whole answer matches: https://docs.rs/regex/latest/regex/#syntax."""

    type: Literal["regex"]
    regex: str


class GrammarFormat(TypedDict):
    """A Lark grammar: https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md."""

    type: Literal["grammar"]
    grammar: str


ResponseFormat = JsonSchemaFormat | JsonObjectFormat | RegexFormat | GrammarFormat
