"""Messages and tools -> the prompt's text, by the model's own chat template.

Renders as transformers' `apply_chat_template` does
(https://huggingface.co/docs/transformers/chat_templating; a test compares them)
without importing it. A template comes with the weights and is not trusted: it runs
in Jinja's sandbox, and sees JSON values only. One that knows no tools gets them in words.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime

from jinja2 import TemplateError, meta, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from bestiary.errors import CardInvalid, InvalidRequest
from bestiary.schemas.text import ChatMessage, Tool, ToolCall
from deployments.text.tools.in_words import function_record, in_words


class ChatTemplate:
    """One model's template, compiled once."""

    def __init__(self, source: str, special_tokens: dict[str, str]) -> None:
        """`special_tokens`: `bos_token` and the like. Raises CardInvalid for bad Jinja."""
        environment = _environment()
        try:
            self._template = environment.from_string(source)
            names = meta.find_undeclared_variables(environment.parse(source))
        except TemplateError as error:
            raise CardInvalid(f"the model's chat template is not valid: {error}") from error
        self._special_tokens = special_tokens
        self.knows_tools = "tools" in names

    def render(self, messages: Sequence[ChatMessage], tools: Sequence[Tool] = ()) -> str:
        """The prompt, ready for the assistant's turn.

        Raises InvalidRequest where the template refuses the messages (roles that do
        not alternate, for instance).
        """
        if not messages:
            raise InvalidRequest("messages must not be empty", "messages")
        if not self.knows_tools:
            messages, tools = in_words(messages, tools), ()
        try:
            return self._template.render(
                messages=_records(messages),
                tools=[function_record(tool) for tool in tools] or None,
                documents=None,
                add_generation_prompt=True,
                **self._special_tokens,
            )
        except Exception as error:  # a template is code: adding a number to a text is a TypeError
            message = f"the model's chat template refuses these messages: {error}"
            raise InvalidRequest(message, "messages") from error


def _records(messages: Sequence[ChatMessage]) -> list[dict[str, object]]:
    """Fields that a message lacks are undefined in a template, not None."""
    called = {call.id: call.name for message in messages for call in message.tool_calls or ()}
    return [_record(message, called) for message in messages]


def _record(message: ChatMessage, called: Mapping[str, str]) -> dict[str, object]:
    record = message.model_dump(exclude_none=True, exclude={"tool_calls"})
    if message.tool_calls:
        record["tool_calls"] = [_call_record(call) for call in message.tool_calls]
    answered = called.get(message.tool_call_id or "")
    if answered is not None:  # some templates want the tool's name, few clients send it
        record.setdefault("name", answered)
    return record


def _call_record(call: ToolCall) -> dict[str, object]:
    """Templates write arguments as JSON themselves, so they get an object where it is one."""
    try:
        arguments = json.loads(call.arguments)
    except ValueError:
        arguments = None
    given = arguments if isinstance(arguments, dict) else call.arguments
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": given},
    }


class _GenerationBlock(Extension):
    """`{% generation %}` marks the assistant's words for training; here it changes nothing."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationBlock, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Jinja's own filter escapes HTML, which a model has never seen."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _raise_exception(message: str) -> None:
    raise TemplateError(message)


def _strftime_now(format: str) -> str:
    return datetime.now().astimezone().strftime(format)
