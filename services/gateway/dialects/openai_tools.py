"""Tools on the OpenAI wire: what may be called, and earlier calls in a conversation.

https://platform.openai.com/docs/guides/function-calling. Functions only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from bestiary.errors import InvalidRequest
from bestiary.schemas.text import MAX_TOOLS, ToolCall, ToolUse
from bestiary.schemas.text import Tool as OfferedTool
from services.gateway.dialects.json_schema import SchemaDocument

TOOL_NAME = r"^[a-zA-Z0-9_-]{1,64}$"
_MODES = ("none", "auto", "required")


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Function(_Wire):
    name: Annotated[str, Field(pattern=TOOL_NAME)]
    description: str | None = None
    parameters: SchemaDocument | None = None
    strict: bool | None = None


class Tool(_Wire):
    type: Literal["function"]
    function: Function


class CalledFunction(_Wire):
    name: str
    arguments: str
    parsed_arguments: object = None  # of OpenAI's SDK, where a reply is sent back; ignored


class MessageToolCall(_Wire):
    """A call that an earlier reply made."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction
    index: int | None = None  # of a stream's deltas; ignored


class ToolChoice(_Wire):
    """`required` with a name: this one."""

    mode: Literal["none", "auto", "required"]
    name: str | None = None


def _chosen(value: object) -> object:
    """Here, not by a union: its errors would name branches of ours that no caller knows."""
    if value is None or isinstance(value, ToolChoice):
        return value
    if isinstance(value, str) and value in _MODES:
        return {"mode": value}
    if isinstance(value, dict) and value.get("type") == "function":
        function = value.get("function")
        name = function.get("name") if isinstance(function, dict) else None
        if isinstance(name, str):
            return {"mode": "required", "name": name}
    raise ValueError(
        "give 'none', 'auto', 'required' or {'type': 'function', 'function': {'name': ...}}"
    )


_CHOICE_SCHEMA: dict[str, object] = {
    "anyOf": [
        {"enum": list(_MODES), "type": "string"},
        {
            "properties": {
                "type": {"const": "function"},
                "function": {
                    "properties": {"name": {"type": "string"}},
                    "required": ["name"],
                    "type": "object",
                },
            },
            "required": ["type", "function"],
            "type": "object",
        },
        {"type": "null"},
    ]
}
Tools = Annotated[list[Tool], Field(max_length=MAX_TOOLS)]
Choice = Annotated[ToolChoice | None, BeforeValidator(_chosen), WithJsonSchema(_CHOICE_SCHEMA)]


def tool_use(
    tools: Sequence[Tool] | None, choice: ToolChoice | None, parallel: bool | None
) -> ToolUse | None:
    """None where nothing may be called: the model is not even told of the tools then.

    Raises InvalidRequest.
    """
    mode = "auto" if choice is None else choice.mode
    names = [tool.function.name for tool in tools or ()]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise InvalidRequest(f"two tools are called {name!r}", f"tools[{place}].function.name")
    if mode == "required" and not names:
        raise InvalidRequest("tool_choice demands a call, and there are no tools", "tool_choice")
    if choice is not None and choice.name is not None and choice.name not in names:
        raise InvalidRequest(f"no tool is called {choice.name!r}", "tool_choice")
    if not tools or mode == "none":
        return None
    return ToolUse(
        tools=tuple(_offered(tool.function) for tool in tools),
        required=mode == "required",
        only=None if choice is None else choice.name,
        parallel=parallel is not False,
    )


def calls_made(calls: Sequence[MessageToolCall] | None) -> tuple[ToolCall, ...] | None:
    if not calls:
        return None
    return tuple(
        ToolCall(id=call.id, name=call.function.name, arguments=call.function.arguments)
        for call in calls
    )


def _offered(function: Function) -> OfferedTool:
    return OfferedTool(
        name=function.name,
        description=function.description,
        parameters=function.parameters,
        strict=bool(function.strict),
    )
