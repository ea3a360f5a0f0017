"""Tools for models whose chat template knows none: told in words, in Hermes' way.

The model was not trained for these words, so how well it calls is not promised; where
a call is required it is held to its schema all the same. Earlier calls and their
results become words too, as such templates often refuse their roles and fields.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

from bestiary.schemas.text import ChatMessage, Tool
from deployments.text.tools.hermes import CLOSE, OPEN

_ANSWER = "<tool_response>"
_INSTRUCTIONS = f"""# Tools

You may call functions to help the user. These functions are available:
<tools>
{{functions}}
</tools>

To call a function, answer with a JSON object with its name and its arguments, between tags:
{OPEN}
{{{{"name": "function name", "arguments": {{{{"argument name": "value"}}}}}}}}
{CLOSE}"""


def in_words(messages: Sequence[ChatMessage], tools: Sequence[Tool]) -> tuple[ChatMessage, ...]:
    """The same conversation without the fields and the role of tools."""
    told = tuple(_answers_together(_in_words(message) for message in messages))
    if not tools:
        return told
    functions = "\n".join(json.dumps(function_record(tool), ensure_ascii=False) for tool in tools)
    instructions = _INSTRUCTIONS.format(functions=functions)
    if told and told[0].role == "system":
        content = f"{told[0].content}\n\n{instructions}"
        return (told[0].model_copy(update={"content": content}), *told[1:])
    return (ChatMessage(role="system", content=instructions), *told)


def function_record(tool: Tool) -> dict[str, object]:
    """As chat templates are given a tool (OpenAI's record of a function, without `strict`)."""
    function: dict[str, object] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    function["parameters"] = tool.parameters or {"type": "object", "properties": {}}
    return {"type": "function", "function": function}


def _answers_together(messages: Iterable[ChatMessage]) -> Iterator[ChatMessage]:
    """Several calls' results are one turn: templates may demand that roles alternate."""
    last: ChatMessage | None = None
    for message in messages:
        if last is not None and _is_answer(last) and _is_answer(message):
            content = f"{last.content}\n{message.content}"
            last = last.model_copy(update={"content": content})
            continue
        if last is not None:
            yield last
        last = message
    if last is not None:
        yield last


def _is_answer(message: ChatMessage) -> bool:
    return message.role == "user" and message.content.startswith(_ANSWER)


def _in_words(message: ChatMessage) -> ChatMessage:
    if message.role == "tool":
        result = f"{_ANSWER}\n{message.content}\n</tool_response>"
        return ChatMessage(role="user", content=result)
    if not message.tool_calls:
        return message
    return ChatMessage(role=message.role, content="\n".join(_calls(message)), name=message.name)


def _calls(message: ChatMessage) -> Iterator[str]:
    if message.content:
        yield message.content
    for call in message.tool_calls or ():
        yield f'{OPEN}\n{{"name": {json.dumps(call.name)}, "arguments": {call.arguments}}}\n{CLOSE}'
