"""The text family: prompts in, token chunks out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from bestiary.schemas.base import Frozen

Role = Literal["system", "user", "assistant", "tool"]
MAX_STOP_SEQUENCES = 16
MAX_CANDIDATES = 20  # OpenAI's bound on best_of
MAX_TOP_LOGPROBS = 20
MAX_BIASED_TOKENS = 1024
MAX_TOOLS = 128


class FinishReason(StrEnum):
    STOP = "stop"  # end-of-sequence token or a stop sequence
    LENGTH = "length"  # max_tokens, or the context is full
    TOOL_CALLS = "tool_calls"  # ended by itself, and calls tools


class Priority(StrEnum):
    """Who waits for whom where rows are short."""

    INTERACTIVE = "interactive"  # somebody is looking
    BATCH = "batch"  # goes when nobody else wants to, and gives way


class ToolCall(Frozen):
    """A call that an assistant's message made; `arguments` as the model wrote them, mostly JSON."""

    id: str
    name: str
    arguments: str


class ChatMessage(Frozen):
    role: Role
    content: str
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] | None = None  # role assistant
    tool_call_id: str | None = None  # role tool: which call `content` answers


class Tool(Frozen):
    """A function that the model may ask its caller to run."""

    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: str | None = None
    parameters: dict[str, object] | None = None  # JSON Schema of an object; None: it takes none
    strict: bool = False  # its calls are held to `parameters`, even where it is called freely


class ToolUse(Frozen):
    """What may be called, and what must be. An answer without tools has none of these."""

    tools: Annotated[tuple[Tool, ...], Field(min_length=1, max_length=MAX_TOOLS)]
    required: bool = False  # the answer is a call, held to the tool's parameters
    only: str | None = None  # with `required`: of this tool
    parallel: bool = True  # several calls in one answer

    @model_validator(mode="after")
    def _known_names(self) -> ToolUse:
        names = [tool.name for tool in self.tools]
        if len(set(names)) < len(names):
            raise ValueError("two tools have the same name")
        if self.only is not None and self.only not in names:
            raise ValueError(f"there is no tool {self.only!r}")
        return self


class ConstraintKind(StrEnum):
    JSON_SCHEMA = "json_schema"
    REGEX = "regex"
    GRAMMAR = "grammar"  # llguidance's Lark


class Constraint(Frozen):
    """What every answer has to match, from its first character to its last.

    `source` is the schema's JSON, the regex or the grammar. `strict` refuses schemas
    with keywords that cannot be enforced; without it they are left out.
    """

    kind: ConstraintKind
    source: str
    strict: bool = True
    param: str = "response_format"  # the caller's field, which a bad source is blamed on


class Sampling(Frozen):
    """How tokens are chosen. `temperature` 0 is greedy."""

    max_tokens: Annotated[int, Field(ge=0)] | None = None  # None: up to the context
    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=0)] = 0  # 0: no limit
    min_p: Annotated[float, Field(ge=0, le=1)] = 0.0  # share of the likeliest, arXiv:2407.01082
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] = 1.0  # CTRL, arXiv:1909.05858
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] = 0.0
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] = 0.0
    logit_bias: Annotated[
        dict[Annotated[int, Field(ge=0)], Annotated[float, Field(ge=-100, le=100)]],
        Field(max_length=MAX_BIASED_TOKENS),
    ] = {}  # token id -> what is added to its logit
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stop: Annotated[tuple[str, ...], Field(max_length=MAX_STOP_SEQUENCES)] = ()
    # None: no logprobs; else of each token, and of so many likeliest ones at its place
    logprobs: Annotated[int, Field(ge=0, le=MAX_TOP_LOGPROBS)] | None = None

    @model_validator(mode="after")
    def _no_empty_stop(self) -> Sampling:
        if any(not sequence for sequence in self.stop):
            raise ValueError("a stop sequence must not be empty")
        return self


class Adapter(Frozen):
    """A LoRA delta on the model, as peft saved it; `name` stands for its content."""

    name: Annotated[str, Field(min_length=1, max_length=256)]
    folder: Path


class TextRequest(Frozen):
    """Exactly one of `messages`, `text` and `token_ids` is given."""

    request_id: str
    messages: tuple[ChatMessage, ...] | None = None  # rendered by the model's chat template
    text: str | None = None
    token_ids: tuple[int, ...] | None = None
    sampling: Sampling = Sampling()
    candidates: Annotated[int, Field(ge=1, le=MAX_CANDIDATES)] = 1  # OpenAI's n
    echo: bool = False  # repeat the prompt's text (and its logprobs) before the completion
    ranked: bool = False  # last chunks carry `cumulative_logprob`
    constraint: Constraint | None = None
    tool_use: ToolUse | None = None  # needs `messages`
    deadline_s: Annotated[float, Field(gt=0)] | None = None  # from arrival at the replica
    adapter: Adapter | None = None  # None: the base model
    priority: Priority = Priority.INTERACTIVE
    tenant: str = ""  # whom it is done for: work is shared out fairly between tenants

    @model_validator(mode="after")
    def _one_prompt(self) -> TextRequest:
        given = [p for p in (self.messages, self.text, self.token_ids) if p is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of messages, text and token_ids")
        if self.tool_use is not None and self.messages is None:
            raise ValueError("tools need messages")
        if self.sampling.max_tokens == 0 and not self.echo:
            raise ValueError("max_tokens 0 needs echo: there would be nothing to say")
        return self


@dataclass(frozen=True, slots=True)
class TextUsage:
    """In tokens, for one candidate."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0  # of prompt_tokens: taken from the prefix cache


@dataclass(frozen=True, slots=True)
class EngineTimings:
    """Where one request's time went inside a replica, in seconds.

    `total_s` is measured on its own, from arrival in the replica to the last
    chunk; the rest of it that no stage claims is the replica's overhead.
    """

    queue_s: float = 0.0
    prefill_s: float = 0.0
    decode_s: float = 0.0
    total_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ScoredToken:
    """A token and how likely the model found it, before temperature and whatever else chooses.

    `data` is its share of the text as UTF-8, which may be part of a character only. A
    special token has no text: there `data` is its name.
    """

    token_id: int
    data: bytes
    special: bool
    logprob: float | None  # natural; None: nothing comes before a prompt's first token


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """One place of a text: its token, and the likeliest ones there, the likeliest first."""

    token: ScoredToken
    characters: int  # that the token adds to the text; 0 while a character is unfinished
    top: tuple[ScoredToken, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolCallPiece:
    """The next piece of a call. Its first one names the tool; the rest are its arguments' text."""

    index: int  # of the call within the answer
    name: str | None
    arguments: str


@dataclass(frozen=True, slots=True)
class TextChunk:
    """The next piece of one candidate.

    `text` never ends inside a character and never holds part of a stop sequence.
    The last chunk of a candidate carries `finish_reason` and `usage`; the last of
    the request carries `timings` too. `logprobs` are of the tokens whose text is out
    by now, an end token and what a stop sequence cut off left out; `prompt_logprobs`
    come once, with a candidate's first tokens.
    """

    candidate: int
    text: str
    token_ids: tuple[int, ...] = ()
    finish_reason: FinishReason | None = None
    usage: TextUsage | None = None
    timings: EngineTimings | None = None
    logprobs: tuple[TokenLogprob, ...] = ()
    prompt_logprobs: tuple[TokenLogprob, ...] = ()
    tool_calls: tuple[ToolCallPiece, ...] = ()
    cumulative_logprob: float | None = None  # over all generated tokens, at the end where ranked


class CountTokensRequest(Frozen):
    """Exactly one of `messages` and `text`; `tool_use` with messages, as `TextRequest` has it."""

    messages: tuple[ChatMessage, ...] | None = None
    text: str | None = None
    tool_use: ToolUse | None = None


@dataclass(frozen=True, slots=True)
class TokenCount:
    token_ids: tuple[int, ...]

    @property
    def count(self) -> int:
        return len(self.token_ids)
