"""What one answered task has cost, whichever family answered it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bestiary.schemas.encoder import EncoderUsage
from bestiary.schemas.seq2seq import Seq2SeqOutput, Seq2SeqResult
from bestiary.schemas.text import EngineTimings


@dataclass(frozen=True, slots=True)
class TaskUsage:
    """In tokens, over all inputs."""

    prompt_tokens: int
    completion_tokens: int | None  # None: the task writes no text
    timings: EngineTimings
    images: int = 0  # that were made

    def as_json(self) -> dict[str, int]:
        written = self.completion_tokens
        completion = {} if written is None else {"completion_tokens": written}
        total = self.prompt_tokens + (written or 0)
        return {"prompt_tokens": self.prompt_tokens, **completion, "total_tokens": total}


class Encoded(Protocol):
    """Any result of the encoder family's tasks."""

    @property
    def usage(self) -> EncoderUsage: ...


def usage_of_encoder(result: Encoded) -> TaskUsage:
    return TaskUsage(sum(result.usage.prompt_tokens), None, result.usage.timings)


def usage_of_seq2seq(result: Seq2SeqResult) -> TaskUsage:
    return usage_of_outputs(result.outputs, result.timings)


def usage_of_outputs(outputs: Sequence[Seq2SeqOutput], timings: EngineTimings) -> TaskUsage:
    return TaskUsage(
        sum(output.prompt_tokens for output in outputs),
        sum(output.completion_tokens for output in outputs),
        timings,
    )
