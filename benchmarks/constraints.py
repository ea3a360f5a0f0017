"""What does constrained decoding cost a step? Free rows against rows held to a JSON schema.

    python -m benchmarks.constraints [--card smollm2-135m-instruct] [--rounds 5] [--steps 40]

Prints milliseconds per decoding step (run, choose, accept) at 1, 4 and 16 rows: free;
constrained, with masks computed beside the run as the engine has it; and constrained, with
every mask waited for before the run. The best of the rounds counts, because the machine may
be shared; rounds are interleaved. What compiling takes, and masks alone, are timed as well.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import numpy as np
from rich.console import Console
from rich.table import Table

from bestiary.garden import Garden
from bestiary.profile.models import TextEngine
from bestiary.progress import Silent
from bestiary.schemas.text import Constraint, ConstraintKind, Sampling
from bestiary.settings import Settings
from deployments.kernels.decoder import build_decoder_once, open_decoder
from deployments.kernels.decoder_session import DecoderSession
from deployments.text.constraints import CompiledGrammar, GrammarCompiler
from deployments.text.grammars import alone, grammar_of
from deployments.text.sampling import RowSampler, choose
from deployments.text.tokenizer import TextTokenizer

ROWS = (1, 4, 16)
PAST = 64
SCHEMA = {
    "type": "object",
    "properties": {
        "items": {
            "type": "array",
            "minItems": 100,
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "maxLength": 30},
                    "price": {"type": "number"},
                    "kind": {"enum": ["fruit", "bread", "fish"]},
                    "tags": {"type": "array", "items": {"type": "string"}},
                },
                "required": ["name", "price", "kind", "tags"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["items"],
    "additionalProperties": False,
}


def samplers(rows: int, grammar: CompiledGrammar | None) -> list[RowSampler]:
    prompt = np.array([1], np.int64)
    made = []
    for seed in range(rows):
        matcher = None if grammar is None else grammar.begin()
        sampling = Sampling(temperature=0.8)
        made.append(RowSampler.begin(sampling, seed, 0, prompt, matcher=matcher))
    return made


def step_ms(
    decoder: DecoderSession, rows: int, steps: int, grammar: CompiledGrammar | None, wait: bool
) -> float:
    choosing = samplers(rows, grammar)
    tokens = [1] * rows
    began = time.perf_counter()
    for step in range(steps):
        past = np.full(rows, PAST + step, np.int32)
        logits = decoder.run(0, np.array([[token] for token in tokens], np.int64), past)
        tokens = choose(logits, choosing)
        for sampler, token in zip(choosing, tokens, strict=True):
            sampler.chose(token)
        if wait:
            for sampler in choosing:
                assert sampler.matcher is not None
                sampler.matcher.mask()
    return (time.perf_counter() - began) / steps * 1e3


def masks_us(grammar: CompiledGrammar, vocabulary: int, count: int = 500) -> np.ndarray:
    """Microseconds of each mask along what a model of noise writes."""
    (sampler,) = samplers(1, grammar)
    assert sampler.matcher is not None
    taken = []
    for step in range(count):
        logits = np.random.default_rng(step).normal(size=(1, vocabulary)).astype("f4")
        (token,) = choose(logits, [sampler])
        began = time.perf_counter()
        sampler.chose(token)
        sampler.matcher.mask()
        taken.append((time.perf_counter() - began) * 1e6)
    return np.array(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--card", default="smollm2-135m-instruct")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=40)
    asked = parser.parse_args()
    home = Settings().home
    model = Garden(home).install(asked.card)
    options = TextEngine(precision="int8", slots=max(ROWS), context=256)
    build_decoder_once(model, options, home, Silent())
    decoder = open_decoder(model, options, 0, home, Silent())
    tokenizer = TextTokenizer.from_folder(model.path)
    serialized = tokenizer.serialized()
    began = time.perf_counter()
    compiler = GrammarCompiler(serialized, decoder.vocabulary, tokenizer.end_ids)
    opened = time.perf_counter()
    constraint = Constraint(kind=ConstraintKind.JSON_SCHEMA, source=json.dumps(SCHEMA))
    grammar = compiler.compile(alone(grammar_of(constraint)), "response_format")
    compiled = time.perf_counter()
    ways: dict[str, Callable[[int], float]] = {
        "free": lambda rows: step_ms(decoder, rows, asked.steps, None, wait=False),
        "constrained": lambda rows: step_ms(decoder, rows, asked.steps, grammar, wait=False),
        "constrained, waiting": lambda rows: step_ms(
            decoder, rows, asked.steps, grammar, wait=True
        ),
    }
    table = Table("ms per step", *(f"{rows} rows" for rows in ROWS))
    best = {name: dict.fromkeys(ROWS, float("inf")) for name in ways}
    for _ in range(asked.rounds):
        for rows in ROWS:
            for name, way in ways.items():
                best[name][rows] = min(best[name][rows], way(rows))
    for name, times in best.items():
        table.add_row(name, *(f"{times[rows]:.2f}" for rows in ROWS))
    console = Console()
    console.print(table)
    console.print(f"the library's tokenizer: {opened - began:.2f} s, once per replica")
    console.print(f"a schema and its first mask: {(compiled - opened) * 1e3:.1f} ms")
    taken = masks_us(grammar, decoder.vocabulary)
    shares = ", ".join(f"p{p} {np.percentile(taken, p):.0f}" for p in (50, 90, 99, 100))
    console.print(f"accepting a token and its mask, µs: {shares}")


if __name__ == "__main__":
    main()
