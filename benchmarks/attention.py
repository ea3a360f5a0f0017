"""What attention does to a recurrent translator, and what the Transformer changed after that.

    python -m benchmarks.attention [--pairs N] [--threads 1] [--models A,B,C]

Three translators of the zoo, trained alike, on the pairs that were held out of them, through
the platform's own engine: BLEU and chrF, time per generated token and per sentence, in batches
and one by one. Writes the table, BLEU over sentence length and one attention heat map to
`benchmarks/results/`. Greedy search; float32.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bestiary.garden import Garden
from bestiary.profile.models import Seq2SeqEngine as EngineOptions
from bestiary.progress import Silent
from bestiary.schemas.seq2seq import (
    MAX_INPUTS,
    CrossAttention,
    Decoding,
    Seq2SeqOutput,
    Seq2SeqRequest,
)
from bestiary.settings import Settings
from deployments.kernels.seq2seq import open_seq2seq
from deployments.seq2seq.loop import LoopLimits
from deployments.seq2seq.opening import service_of
from deployments.seq2seq.service import Seq2SeqService
from zoo.data.parallel_texts import Pair
from zoo.translation.corpus import corpus
from zoo.translation.export import by_length, draw_lengths
from zoo.translation.scoring import Score, scores_by

RESULTS = Path(__file__).parent / "results"
MODELS = ("translator-gru-attention", "translator-gru", "translator-transformer")
ATTENTIVE = MODELS[0]
SHOWN = "The children of Judah came to the house of the king."
ALONE = 100  # sentences that are asked for one by one
MOST = 64  # tokens of an output
WAIT_S = 0.002


@dataclass(frozen=True)
class Measured:
    model: str
    parameters: int
    languages: dict[str, Score]
    lengths: dict[str, Score]  # French
    batch_ms_per_token: float
    batch_ms_per_sentence: float
    alone_ms_per_token: float
    alone_ms_per_sentence: float


async def measure(model: str, pairs: Sequence[Pair], home: Path, threads: int) -> Measured:
    garden = Garden(home)
    installed = garden.install(model)
    options = EngineOptions(max_target_tokens=MOST)
    session = open_seq2seq(installed, options, threads, home, Silent())
    service = service_of(installed, session, options, LoopLimits(WAIT_S, MAX_INPUTS))
    service.start()
    try:
        await translate(service, pairs[:8])  # warm
        started = time.perf_counter()
        outputs = await translate(service, pairs)
        batch_s = time.perf_counter() - started
        apart = pairs[:: max(1, len(pairs) // ALONE)]
        started = time.perf_counter()
        alone = [one for pair in apart for one in await translate(service, [pair])]
        alone_s = time.perf_counter() - started
        if model == ATTENTIVE:
            shown = await translate(service, [Pair(SHOWN, "", "fr", "verses")], attention=True)
            draw_attention(shown[0].attention, RESULTS / "attention_heat_map.png")
    finally:
        await service.stop()
    texts = [one.text.strip() for one in outputs]
    return Measured(
        model=model,
        parameters=installed.card.parameters,
        languages=scores_by(pairs, texts, lambda pair: pair.language),
        lengths=by_length(pairs, texts),
        batch_ms_per_token=1e3 * batch_s / tokens(outputs),
        batch_ms_per_sentence=1e3 * batch_s / len(outputs),
        alone_ms_per_token=1e3 * alone_s / tokens(alone),
        alone_ms_per_sentence=1e3 * alone_s / len(alone),
    )


async def translate(
    service: Seq2SeqService, pairs: Sequence[Pair], *, attention: bool = False
) -> list[Seq2SeqOutput]:
    """In the order of the pairs; a request per language and `MAX_INPUTS` texts, all at once."""
    requests: list[tuple[list[int], Seq2SeqRequest]] = []
    for language in dict.fromkeys(pair.language for pair in pairs):
        places = [place for place, pair in enumerate(pairs) if pair.language == language]
        for start in range(0, len(places), MAX_INPUTS):
            some = places[start : start + MAX_INPUTS]
            request = Seq2SeqRequest(
                request_id=f"{language}-{start}",
                task="translate",
                inputs=tuple(pairs[place].source for place in some),
                source_language="en",
                target_language=language,
                decoding=Decoding(max_tokens=MOST, num_beams=1),
                return_attention=attention,
            )
            requests.append((some, request))
    results = await asyncio.gather(*(service.generate(request) for _, request in requests))
    found: dict[int, Seq2SeqOutput] = {}
    for (places, _), result in zip(requests, results, strict=True):
        found |= dict(zip(places, result.outputs, strict=True))
    return [found[place] for place in range(len(pairs))]


def tokens(outputs: Sequence[Seq2SeqOutput]) -> int:
    return sum(one.completion_tokens for one in outputs)


def draw_attention(attention: CrossAttention | None, path: Path) -> None:
    """Source across, target down; the lighter, the more the decoder looked there."""
    from matplotlib.figure import Figure

    if attention is None:
        raise ValueError(f"{ATTENTIVE} gave no attention back")
    figure = Figure(figsize=(7, 5.5), dpi=110, layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(attention.weights, cmap="viridis", vmin=0, vmax=1, aspect="auto")
    source, target = (
        [name.replace(" ", "▁") for name in names]
        for names in (attention.source_tokens, attention.target_tokens)
    )
    axis.set_xticks(range(len(source)), source, rotation=60)
    axis.set_yticks(range(len(target)), target)
    figure.colorbar(image, label="attention weight")
    axis.set_title(f"{ATTENTIVE}: {SHOWN}", fontsize=9)
    figure.savefig(path)


def table(found: Sequence[Measured], pairs: Sequence[Pair], threads: int) -> Table:
    caption = f"{len(pairs)} held-out pairs, {threads} thread(s), {platform.processor() or 'CPU'}"
    shown = Table(
        "model", "parameters", "BLEU fr", "chrF fr", "BLEU de", "chrF de",
        "ms/token", "ms/sentence", "alone: ms/token", "alone: ms/sentence",
        caption=caption,
    )  # fmt: skip
    for one in found:
        nothing = Score(0.0, 0.0, 0)
        french, german = (one.languages.get(name, nothing) for name in ("fr", "de"))
        figures = (
            french.bleu, french.chrf, german.bleu, german.chrf,
            one.batch_ms_per_token, one.batch_ms_per_sentence,
            one.alone_ms_per_token, one.alone_ms_per_sentence,
        )  # fmt: skip
        shown.add_row(one.model, f"{one.parameters:,}", *(f"{value:.2f}" for value in figures))
    return shown


def lengths_table(found: Sequence[Measured]) -> Table:
    shown = Table("words", "pairs", *(one.model for one in found), title="BLEU by length, French")
    for bucket, scored in found[0].lengths.items():
        others = (f"{one.lengths[bucket].bleu:.2f}" for one in found)
        shown.add_row(bucket, str(scored.pairs), *others)
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description="RNN with attention, without, and a Transformer.")
    parser.add_argument("--pairs", type=int, help="so many held-out pairs, not all")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--home", type=Path, default=Settings().home)
    given = parser.parse_args()
    pairs = corpus().held_out
    if given.pairs:
        pairs = pairs[:: max(1, len(pairs) // given.pairs)]
    RESULTS.mkdir(exist_ok=True)
    found = [
        asyncio.run(measure(model, pairs, given.home, given.threads))
        for model in given.models.split(",")
    ]
    draw_lengths({one.model: one.lengths for one in found}, RESULTS / "attention_by_length.png")
    with (RESULTS / "attention.txt").open("w", encoding="utf-8") as file:
        for console in (Console(width=150), Console(file=file, width=150)):
            console.print(table(found, pairs, given.threads))
            console.print(lengths_table(found))
    written = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "threads": given.threads,
        "pairs": len(pairs),
        "models": [asdict(one) for one in found],
    }
    (RESULTS / "attention.json").write_text(json.dumps(written, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
