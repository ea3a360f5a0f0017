"""Messages -> the text that a model reads, to count its tokens before a trainer is there.

A template comes with the weights and is not trusted: it runs in Jinja's sandbox.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from jinja2 import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from bestiary.errors import CardInvalid
from bestiary.schemas.text import ChatMessage

ChatText = Callable[[Sequence[ChatMessage]], str]


def plain_chat(messages: Sequence[ChatMessage]) -> str:
    """For models without a template."""
    return "\n".join(message.content for message in messages)


def chat_text(template: str | None) -> ChatText:
    """Of a model's own template; messages that it refuses count as plain ones.

    Raises CardInvalid for bad Jinja.
    """
    if template is None:
        return plain_chat
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().astimezone().strftime(form)
    try:
        compiled = environment.from_string(template)
    except TemplateError as error:
        raise CardInvalid(f"the model's chat template is not valid: {error}") from error

    def render(messages: Sequence[ChatMessage]) -> str:
        records = [message.model_dump(exclude_none=True) for message in messages]
        try:
            return compiled.render(messages=records, add_generation_prompt=False)
        except Exception:  # noqa: BLE001  a template is code and raises what it likes
            return plain_chat(messages)

    return render


def _raise_exception(message: str) -> None:
    raise TemplateError(message)
