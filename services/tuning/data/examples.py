"""One example of each format, as a trainer reads it."""

from __future__ import annotations

from dataclasses import dataclass

from bestiary.schemas.text import ChatMessage


@dataclass(frozen=True, slots=True)
class Conversation:
    """`trained`: places of the messages (of the assistant) whose tokens are learned."""

    messages: tuple[ChatMessage, ...]
    trained: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Completion:
    prompt: str
    completion: str


@dataclass(frozen=True, slots=True)
class Preference:
    """`prompt` as messages; both answers as the assistant's text."""

    prompt: tuple[ChatMessage, ...]
    chosen: str
    rejected: str


@dataclass(frozen=True, slots=True)
class PlainText:
    text: str


@dataclass(frozen=True, slots=True)
class LabelledText:
    text: str
    label: str
    text_pair: str | None = None


@dataclass(frozen=True, slots=True)
class TaggedTokens:
    tokens: tuple[str, ...]
    tags: tuple[str, ...]  # as many: O, B-X, I-X, or bare names


@dataclass(frozen=True, slots=True)
class TextPair:
    """Texts that mean the same; `negative` means another thing."""

    anchor: str
    positive: str
    negative: str | None = None


@dataclass(frozen=True, slots=True)
class Translation:
    source: str
    target: str
    source_language: str | None = None  # ISO 639-1
    target_language: str | None = None


@dataclass(frozen=True, slots=True)
class CaptionedImage:
    name: str
    caption: str
    data: bytes  # PNG, JPEG or WebP


Example = (
    Conversation
    | Completion
    | Preference
    | PlainText
    | LabelledText
    | TaggedTokens
    | TextPair
    | Translation
    | CaptionedImage
)
