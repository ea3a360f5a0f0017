"""Plain ways to drive the engine in tests, and what transformers' `generate` says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from deployments.seq2seq.engine import Job, Seq2SeqEngine
from deployments.seq2seq.model_defaults import SpecialTokens
from deployments.seq2seq.plan import Plan
from deployments.seq2seq.search import Found
from tests.unit.kernels.rows import tokens
from tests.unit.kernels.small_seq2seqs import padded

SOURCES = [tokens(length, seed=length) for length in (7, 33, 3, 21, 12)]
MOST = 24


def plan_of(model: Any, **options: object) -> Plan:
    """What the request asks for, over greedy search with the model's special tokens."""
    config = model.generation_config
    bad = config.bad_words_ids or []
    special = SpecialTokens(
        start=config.decoder_start_token_id,
        ends=(config.eos_token_id,),
        first=config.forced_bos_token_id,
        last=config.forced_eos_token_id,
        never=tuple(word[0] for word in bad),
    )
    plain: dict[str, object] = {
        "special": special,
        "max_tokens": MOST,
        "min_tokens": 0,
        "num_beams": 1,
        "length_penalty": 1.0,
        "no_repeat_ngram_size": 0,
        "early_stopping": False,
        "temperature": 0.0,
        "top_k": 0,
        "top_p": 1.0,
        "seed": 0,
    }
    return Plan(**plain | options)  # type: ignore[arg-type]


def jobs(plan: Plan, sources: Sequence[Sequence[int]], owner: object = "one") -> list[Job]:
    return [Job(owner, i, source, plan, attention=False) for i, source in enumerate(sources)]


def finished(engine: Seq2SeqEngine, count: int) -> dict[tuple[object, int], Found]:
    """Turns until so many jobs have ended."""
    found: dict[tuple[object, int], Found] = {}
    for _ in range(1000):
        for event in engine.turn():
            if event.found is not None:
                found[event.job.owner, event.job.index] = event.found
        if len(found) == count:
            return found
    raise AssertionError(f"{len(found)} of {count} ended")


def run(engine: Seq2SeqEngine, plan: Plan, sources: Sequence[Sequence[int]]) -> list[list[int]]:
    engine.submit(jobs(plan, sources))
    found = finished(engine, len(sources))
    return [list(found["one", i].tokens) for i in range(len(sources))]


def generated(
    model: Any, sources: Sequence[Sequence[int]], max_tokens: int = MOST, **options: object
) -> list[list[int]]:
    """The tokens of each text, end token included, padding and start token left out."""
    config = model.generation_config
    ids, mask = padded(sources)
    with torch.no_grad():
        out = model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_length=max_tokens + 1,
            do_sample=False,
            **options,
        )
    return [_whole(row[1:].tolist(), config.eos_token_id) for row in out]


def _whole(row: list[int], end: int) -> list[int]:
    return row[: row.index(end) + 1] if end in row else row
