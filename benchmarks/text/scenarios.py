"""The questions: what is asked of a contender, and which figures are read from its answers."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer

from benchmarks.text.asking import Ask, Contender, tokens_per_s

TEXT = (
    "The lighthouse keeper wrote every evening into a long green book what the sea had brought "
    "that day: planks, a chair, once a crate of lamps that still worked. In winter he wrote of "
    "the wind, its direction and its strength, and of the ships that had passed with their "
    "lights on. Nobody had ever asked him for these notes. When the harbour was rebuilt, an "
    "engineer found the book and saw that it held forty years of currents, which no instrument "
    "had measured. She copied the numbers into tables and drew a chart; where the chart was "
    "darkest the new wall was made thickest. The keeper was told of it and said that he had "
    "only wanted to remember the days apart from one another, because they were so alike. "
)
NEW_TOKENS = 64
SHORT_LENGTHS = (64, 48, 80, 56, 72, 40, 88, 60)  # of prompts, 64 on average
LONG, PREFIX, SUFFIX = 1000, 500, 24
SCHEMA = (
    '{"type":"object","properties":{"items":{"type":"array","items":{"type":"object","properties":'
    '{"name":{"type":"string","maxLength":12},"count":{"type":"integer","minimum":0,"maximum":999}}'
    ',"required":["name","count"],"additionalProperties":false},"minItems":6,"maxItems":6}},'
    '"required":["items"],"additionalProperties":false}'
)

Figures = dict[str, float]


class Prompts:
    """Token ids cut from one text. Every call gives other ones, so that no cache knows them."""

    def __init__(self, folder: Path) -> None:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._ids: list[int] = tokenizer.encode(TEXT * 40, add_special_tokens=False).ids
        self._unique: Iterator[int] = itertools.count(300)  # ordinary tokens of the vocabulary

    def fresh(self, length: int) -> tuple[int, ...]:
        """Begins with a token that no prompt began with before."""
        first = next(self._unique)
        offset = first % 150
        return (first, *self._ids[offset : offset + length - 1])

    def short(self, count: int) -> list[tuple[int, ...]]:
        return [self.fresh(SHORT_LENGTHS[n % len(SHORT_LENGTHS)]) for n in range(count)]

    def copying(self) -> tuple[int, ...]:
        """A passage, and its beginning again: what follows is the rest of it."""
        passage = self.fresh(150)
        return (*passage, *passage[:12])


def percentile(values: list[float], share: float) -> float:
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, round(share * (len(ranked) - 1)))]


def throughput(contender: Contender, prompts: Prompts, streams: int) -> Figures:
    told = contender.run([Ask(prompt, NEW_TOKENS) for prompt in prompts.short(streams)])
    gaps = [gap for one in told for gap in one.gaps_s]
    return {
        "tokens_per_s": tokens_per_s(told),
        "ttft_ms": 1e3 * statistics.median(one.first_s for one in told),
        "gap_p50_ms": 1e3 * percentile(gaps, 0.5),
        "gap_p99_ms": 1e3 * percentile(gaps, 0.99),
    }


def long_prompt(contender: Contender, prompts: Prompts) -> Figures:
    (told,) = contender.run([Ask(prompts.fresh(LONG), 2)])
    return {"ttft_ms": 1e3 * told.first_s}


def shared_prefix(contender: Contender, prompts: Prompts) -> Figures:
    """The same beginning twice, with another end."""
    prefix = prompts.fresh(PREFIX)
    first_s, second_s = (
        contender.run([Ask((*prefix, *prompts.fresh(SUFFIX)), 2, cached=True)])[0].first_s
        for _ in range(2)
    )
    return {"first_ms": 1e3 * first_s, "second_ms": 1e3 * second_s}


def stall(contender: Contender, prompts: Prompts) -> Figures:
    """The 99th percentile of gaps in 8 streams, without and with long prompts arriving."""
    found = {}
    for label, arriving in (("alone", 0), ("beside", 3)):
        streams = [Ask(prompt, 2 * NEW_TOKENS) for prompt in prompts.short(8)]
        late = [Ask(prompts.fresh(LONG), 2, at_s=1.0 + 0.8 * n) for n in range(arriving)]
        told = contender.run([*streams, *late])[:8]
        # The streams' own start is left out: their prompts are read one after the other.
        settled = max(one.tokens_s[0] for one in told)
        gaps = [
            later - earlier
            for one in told
            for earlier, later in zip(one.tokens_s, one.tokens_s[1:], strict=False)
            if earlier >= settled
        ]
        found[f"{label}_ms"] = 1e3 * percentile(gaps, 0.99)
    return found


def schema(contender: Contender, prompts: Prompts, streams: int = 4) -> Figures:
    """Tokens per second of decoding, held to a JSON schema and free."""
    found = {}
    asked = prompts.short(streams)
    for label, wanted in (("free", None), ("held", SCHEMA)):
        told = contender.run([Ask(prompt, NEW_TOKENS, schema=wanted) for prompt in asked])
        spans = [one.tokens_s[-1] - one.tokens_s[0] for one in told]
        rates = [(len(one.tokens_s) - 1) / s for one, s in zip(told, spans, strict=True)]
        found[label] = statistics.median(rates)
    return found


def copying(contender: Contender, prompts: Prompts) -> Figures:
    (told,) = contender.run([Ask(prompts.copying(), 2 * NEW_TOKENS)])
    return {"tokens_per_s": (len(told.tokens_s) - 1) / (told.tokens_s[-1] - told.tokens_s[0])}


def inventing(contender: Contender, prompts: Prompts) -> Figures:
    """Drawn at temperature 1, which does not repeat itself: nothing in it can be looked up."""
    asks = [Ask(prompts.fresh(SHORT_LENGTHS[0]), 2 * NEW_TOKENS, temperature=1.0)]
    (told,) = contender.run(asks)
    return {"tokens_per_s": (len(told.tokens_s) - 1) / (told.tokens_s[-1] - told.tokens_s[0])}
