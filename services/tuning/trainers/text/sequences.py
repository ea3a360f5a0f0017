"""Examples -> the token sequences that a model learns from, none longer than the plan allows.

Too long ones lose the left of their prompt, never of their answer; where the answer alone is
too long the sequence is left out and counted. Knows token ids only: no tensor, no model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, NoReturn, TypeVar

from bestiary.errors import InvalidRequest
from bestiary.schemas.text import ChatMessage
from services.tuning.data.examples import Completion, Conversation, Example, PlainText, Preference
from services.tuning.trainers.text.chat import TokenWriter

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TokenSequence:
    """`learned[i]`: token i is predicted from those before it, and counts. Never the first."""

    ids: tuple[int, ...]
    learned: tuple[bool, ...]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def learned_tokens(self) -> int:
        return sum(self.learned)

    @property
    def answer_at(self) -> int:
        """Where the last learned run begins: before it is the prompt of a last answer."""
        end = len(self.learned) - self.learned[::-1].index(True)
        return next(n for n in range(end, 0, -1) if not self.learned[n - 1])


@dataclass(frozen=True, slots=True)
class SequencePair:
    """One prompt, answered in two ways."""

    chosen: TokenSequence
    rejected: TokenSequence

    def __len__(self) -> int:
        return len(self.chosen) + len(self.rejected)


@dataclass(frozen=True, slots=True)
class Fitted(Generic[T]):
    """`dropped`: how many had no room for their answer."""

    found: tuple[T, ...]
    dropped: int = 0

    def required(self, param: str) -> tuple[T, ...]:
        """Raises InvalidRequest where nothing is left."""
        if self.found:
            return self.found
        if self.dropped:
            reason = f"all {self.dropped} answers are too long: raise max_tokens"
            raise InvalidRequest(reason, "hyperparameters.max_tokens")
        raise InvalidRequest("there is no example to learn from or to measure on", param)


@dataclass
class _Fitting:
    limit: int  # tokens of a sequence
    found: list[TokenSequence] = field(default_factory=list)
    dropped: int = 0

    def add(self, prompt: Sequence[int], answer: Sequence[int]) -> None:
        whole = answered(prompt, answer, self.limit)
        if whole is None:
            self.dropped += 1
        else:
            self.found.append(whole)

    def go_on(self, prompt: Sequence[int], answer: Sequence[int]) -> None:
        """As `add`; in one sequence with the turn before, where that is the prompt's start."""
        last = self.found.pop()
        size = len(last)
        if tuple(prompt[:size]) != last.ids or len(prompt) + len(answer) > self.limit:
            self.found.append(last)
            self.add(prompt, answer)
            return
        ids = (*prompt, *answer)
        learned = (*last.learned, *[False] * (len(prompt) - size), *[True] * len(answer))
        self.found.append(TokenSequence(ids, learned))


def answered(prompt: Sequence[int], answer: Sequence[int], limit: int) -> TokenSequence | None:
    """None where the answer, after one token of the prompt, has no room."""
    if not prompt:  # nothing that its first token could be predicted from
        prompt, answer = answer[:1], answer[1:]
    room = limit - len(answer)
    if room < 1 or not answer:
        return None
    kept = prompt[-room:]
    return TokenSequence((*kept, *answer), (*[False] * len(kept), *[True] * len(answer)))


def sequences_of(
    examples: Iterable[Example], writer: TokenWriter, limit: int
) -> Fitted[TokenSequence]:
    """Conversations, completions and plain texts. Raises InvalidRequest for other examples."""
    fitting = _Fitting(limit)
    for example in examples:
        if isinstance(example, Conversation):
            _add_turns(example, writer, fitting)
        elif isinstance(example, Completion):
            fitting.add(*writer.completed(example.prompt, example.completion))
        elif isinstance(example, PlainText):
            fitting.found += _pieces(example.text, writer, limit)
        else:
            _refuse(example, "conversations, completions or plain text")
    return Fitted(tuple(fitting.found), fitting.dropped)


def pairs_of(examples: Iterable[Example], writer: TokenWriter, limit: int) -> Fitted[SequencePair]:
    """Preferences; both answers follow the same prompt, cut alike."""
    found: list[SequencePair] = []
    dropped = 0
    for example in examples:
        if not isinstance(example, Preference):
            _refuse(example, "preferences")
        pair = _pair(example, writer, limit)
        if pair is None:
            dropped += 1
        else:
            found.append(pair)
    return Fitted(tuple(found), dropped)


def _add_turns(example: Conversation, writer: TokenWriter, fitting: _Fitting) -> None:
    """One sequence, in which all its answers are learned, each after what serving puts before
    it; as many sequences as it takes where a template rewrites earlier turns."""
    before = len(fitting.found)
    for place in example.trained:
        prompt, answer = writer.answered(example.messages[: place + 1])
        if len(fitting.found) == before:
            fitting.add(prompt, answer)
        else:
            fitting.go_on(prompt, answer)


def _pieces(text: str, writer: TokenWriter, limit: int) -> Iterator[TokenSequence]:
    """Of `limit` tokens; only the first token of a piece is not learned."""
    ids = [*writer.encode(text, as_prompt=True), writer.end_id]
    for start in range(0, len(ids) - 1, limit):
        piece = ids[start : start + limit]
        if len(piece) > 1:
            yield TokenSequence(tuple(piece), (False, *[True] * (len(piece) - 1)))


def _pair(example: Preference, writer: TokenWriter, limit: int) -> SequencePair | None:
    prompt, chosen = _answered(example.prompt, example.chosen, writer)
    _, rejected = _answered(example.prompt, example.rejected, writer)
    room = limit - max(len(chosen), len(rejected))
    if room < 1:
        return None
    kept = prompt[-room:]
    first, second = answered(kept, chosen, limit), answered(kept, rejected, limit)
    return None if first is None or second is None else SequencePair(first, second)


def _answered(
    prompt: Sequence[ChatMessage], answer: str, writer: TokenWriter
) -> tuple[list[int], list[int]]:
    return writer.answered((*prompt, ChatMessage(role="assistant", content=answer)))


def _refuse(example: Example, wanted: str) -> NoReturn:
    raise InvalidRequest(
        f"this method learns from {wanted}, not from {type(example).__name__}", "training_file"
    )
