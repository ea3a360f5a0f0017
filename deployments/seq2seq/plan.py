"""How one request is decoded: what it says, and the model's defaults for the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from bestiary.errors import InvalidRequest
from bestiary.schemas.seq2seq import Decoding
from deployments.seq2seq.drawing import GREEDY_BELOW
from deployments.seq2seq.model_defaults import EarlyStopping, SpecialTokens, TaskDefaults

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that the search over one input's outputs depends on."""

    special: SpecialTokens
    max_tokens: int  # generated ones, the end token included
    min_tokens: int
    num_beams: int
    length_penalty: float
    no_repeat_ngram_size: int
    early_stopping: EarlyStopping
    temperature: float
    top_k: int
    top_p: float
    seed: int

    @property
    def samples(self) -> bool:
        return self.temperature >= GREEDY_BELOW


@dataclass(frozen=True, slots=True)
class Limits:
    slots: int  # rows in one step
    max_target: int  # tokens


def plan(
    asked: Decoding,
    defaults: TaskDefaults,
    special: SpecialTokens,
    limits: Limits,
    seed: int,
) -> Plan:
    """Raises InvalidRequest for more tokens or beams than this deployment has room for."""
    samples = asked.temperature >= GREEDY_BELOW
    beams = asked.num_beams or (1 if samples else min(defaults.num_beams, limits.slots))
    if beams > limits.slots:
        raise InvalidRequest(f"num_beams is {beams}; there are {limits.slots} rows", "num_beams")
    if asked.max_tokens is not None and asked.max_tokens > limits.max_target:
        raise InvalidRequest(
            f"max_tokens is {asked.max_tokens}; this deployment writes up to {limits.max_target}",
            "max_tokens",
        )
    longest = asked.max_tokens or min(defaults.max_tokens or limits.max_target, limits.max_target)
    shortest = defaults.min_tokens if asked.min_tokens is None else asked.min_tokens
    return Plan(
        special=special,
        max_tokens=longest,
        min_tokens=min(shortest, longest),
        num_beams=beams,
        length_penalty=_or(asked.length_penalty, defaults.length_penalty),
        no_repeat_ngram_size=_or(asked.no_repeat_ngram_size, defaults.no_repeat_ngram_size),
        early_stopping=_or(asked.early_stopping, defaults.early_stopping),
        temperature=asked.temperature,
        top_k=asked.top_k,
        top_p=asked.top_p,
        seed=seed,
    )


def _or(asked: T | None, default: T) -> T:
    return default if asked is None else asked
