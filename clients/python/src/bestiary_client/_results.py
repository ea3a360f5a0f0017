"""What callers get. Plain frozen values; `receipt` is None where the platform sent none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import overload

from bestiary_client._receipts import LatencyReceipt
from bestiary_client._requests import Message

Vector = list[float]


@dataclass(frozen=True)
class Usage:
    """In tokens. `cached_tokens` of the prompt came from the platform's prefix cache."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True)
class LikelyToken:
    """`bytes` are its share of the text, perhaps a part of a character; None: it has no text."""

    token: str
    logprob: float  # natural logarithm, before temperature and whatever else chooses
    bytes: bytes | None


@dataclass(frozen=True)
class TokenLogprob:
    """One token of an answer, and the likeliest ones at its place, the likeliest first."""

    token: str
    logprob: float | None  # None: the first token of an echoed prompt
    bytes: bytes | None
    top: tuple[LikelyToken, ...] = ()
    text_offset: int | None = None  # in characters of the choice's text; `complete` alone has it


@dataclass(frozen=True)
class ToolCall:
    """What the model wants to have run. `arguments` is JSON, mostly: the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Choice:
    """One of the `n` answers to a prompt."""

    index: int
    text: str
    finish_reason: str | None  # "stop", "length" or "tool_calls"
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[TokenLogprob, ...] | None = None  # None: none were asked for

    @property
    def message(self) -> Message:
        """The answer as a message, to go on with the conversation."""
        said: Message = {"role": "assistant", "content": self.text or None}
        if not self.tool_calls:
            return {**said, "content": self.text}
        said["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in self.tool_calls
        ]
        return said


@dataclass(frozen=True)
class Completion:
    """What `chat` and `complete` give.

    `model` is the one that answered, whatever name was asked for; `route_reason` says why,
    `tier` is None where a model was asked for by its own name.
    """

    id: str
    model: str
    choices: tuple[Choice, ...]
    usage: Usage | None
    tier: str | None = None
    route_reason: str | None = None
    request_id: str | None = None
    receipt: LatencyReceipt | None = None

    @property
    def text(self) -> str:
        """The first choice's."""
        return self.choices[0].text

    @property
    def finish_reason(self) -> str | None:
        """The first choice's: "stop", "length" where `max_tokens` cut it off, "tool_calls"."""
        return self.choices[0].finish_reason

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The first choice's."""
        return self.choices[0].tool_calls

    @property
    def message(self) -> Message:
        """The first choice's."""
        return self.choices[0].message


@dataclass(frozen=True)
class Embeddings(Sequence[Vector]):
    """One vector per text, in order, each of unit length; a sequence of them itself."""

    model: str
    vectors: tuple[Vector, ...]
    prompt_tokens: int
    request_id: str | None = None
    receipt: LatencyReceipt | None = None

    @overload
    def __getitem__(self, index: int) -> Vector: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Vector]: ...
    def __getitem__(self, index: int | slice) -> Vector | Sequence[Vector]:
        return self.vectors[index]

    def __len__(self) -> int:
        return len(self.vectors)


@dataclass(frozen=True)
class TokenCount:
    model: str
    count: int
    tokens: tuple[int, ...]  # ids in the model's own vocabulary
    request_id: str | None = None
    receipt: LatencyReceipt | None = None


@dataclass(frozen=True)
class Model:
    """One name that may be asked for, and what it stands for."""

    id: str
    kind: str | None = None  # "auto", "tier", "card" or "alias"
    family: str | None = (
        None  # "text", "encoder", "seq2seq"; of images "vae", "gan", "autoregressive", "diffusion"
    )
    tier: str | None = None
    card: str | None = None
    context_length: int | None = None  # tokens
    license: str | None = None
    tasks: tuple[str, ...] = ()  # what it can do, for instance "classify"
    languages: tuple[str, ...] = ()  # of a translator: "en-fr", from English to French
    image: Mapping[str, object] | None = None  # of an image model: sizes, classes, defaults


@dataclass(frozen=True)
class TextDelta:
    """The next piece of choice `index`."""

    index: int
    text: str
    logprobs: tuple[TokenLogprob, ...] = ()  # of the tokens that are complete with this piece


@dataclass(frozen=True)
class ToolCallDelta:
    """The next piece of a call of choice `index`; the first one has its id and name."""

    index: int
    call: int  # which of the choice's calls
    arguments: str
    id: str | None = None
    name: str | None = None


@dataclass(frozen=True)
class ChoiceEnd:
    """Choice `index` is complete."""

    index: int
    finish_reason: str


StreamEvent = TextDelta | ToolCallDelta | ChoiceEnd
