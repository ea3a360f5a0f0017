"""Messages -> the prompt's text, by the model's own chat template.

Renders as transformers' `apply_chat_template` does
(https://huggingface.co/docs/transformers/chat_templating; a test compares them)
without importing it. A template comes with the weights and is not trusted: it runs
in Jinja's sandbox, and sees strings only.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from bestiary.errors import CardInvalid, InvalidRequest
from bestiary.schemas.text import ChatMessage


class ChatTemplate:
    """One model's template, compiled once."""

    def __init__(self, source: str, special_tokens: dict[str, str]) -> None:
        """`special_tokens`: `bos_token` and the like. Raises CardInvalid for bad Jinja."""
        try:
            self._template = _environment().from_string(source)
        except TemplateError as error:
            raise CardInvalid(f"the model's chat template is not valid: {error}") from error
        self._special_tokens = special_tokens

    def render(self, messages: Sequence[ChatMessage]) -> str:
        """The prompt, ready for the assistant's turn.

        Raises InvalidRequest where the template refuses the messages (roles that do
        not alternate, for instance).
        """
        if not messages:
            raise InvalidRequest("messages must not be empty", "messages")
        try:
            return self._template.render(
                messages=[message.model_dump(exclude_none=True) for message in messages],
                tools=None,
                documents=None,
                add_generation_prompt=True,
                **self._special_tokens,
            )
        except Exception as error:  # a template is code: adding a number to a text is a TypeError
            message = f"the model's chat template refuses these messages: {error}"
            raise InvalidRequest(message, "messages") from error


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
