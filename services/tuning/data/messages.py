"""Messages as OpenAI's fine-tuning files have them.

https://developers.openai.com/api/docs/guides/supervised-fine-tuning
"""

from __future__ import annotations

from dataclasses import dataclass

from bestiary.schemas.text import ChatMessage, Role
from services.tuning.data.fields import Values, named, object_of
from services.tuning.data.rows import Unfit

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",  # the newer word
    "user": "user",
    "assistant": "assistant",
}
TOOLS = ("tool_calls", "function_call", "tool_call_id")


@dataclass(frozen=True, slots=True)
class Message:
    """`trained`: its tokens are learned; true of an assistant's without `weight` 0."""

    value: ChatMessage
    trained: bool


def messages_of(given: object, where: str) -> tuple[Message, ...]:
    """Raises Unfit, which names the field from `where` on."""
    if not isinstance(given, list):
        raise Unfit(f"`{where}` must be a list of messages, not {named(given)}")
    if not given:
        raise Unfit(f"`{where}` is empty")
    return tuple(_message(one, f"{where}[{place}]") for place, one in enumerate(given))


def answer_of(given: object, where: str) -> str:
    """The assistant's text: as such, or as a list of one message of the assistant."""
    if isinstance(given, str):
        if not given.strip():
            raise Unfit(f"`{where}` is empty")
        return given
    messages = messages_of(given, where)
    if len(messages) != 1 or messages[0].value.role != "assistant":
        raise Unfit(f"`{where}` must be a text or one message of the role assistant")
    return messages[0].value.content


def _message(given: object, where: str) -> Message:
    values = object_of(given, where)
    for key in TOOLS:
        if values.get(key):
            raise Unfit(f"`{where}.{key}`: tool calls cannot be trained here; leave them out")
    role = _role(values, where)
    content = _content(values, where)
    if role == "assistant" and not content.strip():
        raise Unfit(f"`{where}.content` is empty: there is nothing to learn from it")
    name = values.get("name")
    if name is not None and not isinstance(name, str):
        raise Unfit(f"`{where}.name` must be a text, not {named(name)}")
    trained = _weight(values, role, where)
    return Message(ChatMessage(role=role, content=content, name=name), trained)


def _role(values: Values, where: str) -> Role:
    given = values.get("role")
    if given in ("tool", "function"):
        raise Unfit(f"`{where}.role` {given!r}: tools cannot be trained here; leave them out")
    role = ROLES.get(given) if isinstance(given, str) else None
    if role is None:
        raise Unfit(f"`{where}.role` must be one of {', '.join(ROLES)}, not {_short(given)}")
    return role


def _content(values: Values, where: str) -> str:
    """A text, or OpenAI's list of parts where all are texts."""
    content = values.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise Unfit(f"`{where}.content` must be a text, not {named(content)}")
    texts: list[str] = []
    for place, given in enumerate(content):
        part = object_of(given, f"{where}.content[{place}]")
        text = part.get("text")
        if part.get("type") != "text" or not isinstance(text, str):
            raise Unfit(f"`{where}.content[{place}]` must be a part of the type text")
        texts.append(text)
    return "".join(texts)


def _weight(values: Values, role: Role, where: str) -> bool:
    weight = values.get("weight")
    if weight is None:
        return role == "assistant"
    if role != "assistant":
        raise Unfit(f"`{where}.weight`: only an assistant's message can have one")
    if isinstance(weight, bool) or weight not in (0, 1):
        raise Unfit(f"`{where}.weight` must be 0 or 1, not {_short(weight)}")
    return weight == 1


def _short(value: object) -> str:
    return "missing" if value is None else repr(value)[:40]
