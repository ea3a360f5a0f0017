"""Models tuned on the running platform, as a data scientist would: before, after, minutes, memory.

    bestiary up --detach --wait
    python -m benchmarks.tuning [--only json,style,translator,spam,latency]

json        SmolLM2-135M-Instruct by LoRA: support tickets to one line of strict JSON
style       text-to-image by LoRA: emoji as stickers
translator  the GRU with attention, on Sphinx's French catalogue, a domain it has not seen
spam        a classifier on all-MiniLM-L6-v2, on the SpamAssassin corpus
latency     p95 of the time to gecko's first token, with a job training beside it and without

Each question's figures go to `benchmarks/results/tuning.json` as soon as they are there, curves to
`docs/pictures`. Minutes are the trainer's processor minutes; memory is its largest resident set.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from bestiary_client import Bestiary, Gate, TuningJob
from rich.console import Console

from zoo.data.gettext_catalogs import messages
from zoo.data.packages import Package, archive_of, members
from zoo.data.parallel_texts import unambiguous
from zoo.encoder.spam import apart

CHECKOUT = Path(__file__).resolve().parents[1]
RESULTS = CHECKOUT / "benchmarks" / "results" / "tuning.json"
PICTURES = CHECKOUT / "docs" / "pictures"
EXAMPLES = CHECKOUT / "examples" / "tuning"
SPHINX = Package(
    registry="pypi",
    name="sphinx",
    version="8.2.3",
    sha256="4405915165f13521d875a8c29c8970800a0141c14cc5416a38feca4ea5d9b9c3",
    license="BSD-2-Clause",
    attribution="the Sphinx developers and translators",
)
CATALOGUE = "sphinx/locale/fr/LC_MESSAGES/sphinx.po"
LONG_JOB_STEPS = 2000  # more than the measurement lasts; cancelled after it
PROMPT = "Write one sentence about the number {}."
console = Console()


def json_task(client: Bestiary) -> dict[str, object]:
    sys.path.insert(0, str(EXAMPLES))
    from tickets import chat_lines, tickets  # type: ignore[import-not-found]

    job = client.tuning.create(
        "otter",
        chat_lines(tickets(300, seed=1)),
        validation_file=chat_lines(tickets(50, seed=2)),
        epochs=2,
        suffix="tickets",
        gate=Gate(at_least={"exact_match": 0.9}),
    )
    return followed(client, job, curve="tuning_loss.png")


def style(client: Bestiary) -> dict[str, object]:
    pictures = CHECKOUT / "build" / "emoji_stickers.zip"
    pictures.parent.mkdir(exist_ok=True)
    script = EXAMPLES / "emoji_style.py"
    subprocess.run([sys.executable, script, pictures], check=True, cwd=CHECKOUT)
    job = client.tuning.create(
        "emoji-text-to-image",
        pictures,
        suffix="sticker",
        gate=Gate(improves=("loss", "style_likeness")),
    )
    return followed(client, job)


def translator(client: Bestiary) -> dict[str, object]:
    ((_, catalogue),) = members(archive_of(SPHINX), lambda name: name == CATALOGUE)
    pairs = sorted(unambiguous(messages(catalogue.decode())))
    random.Random(7).shuffle(pairs)
    pairs = [pair for pair in pairs if 2 <= len(pair[0].split()) <= 16]
    job = client.tuning.create(
        "translator-gru-attention",
        translations(pairs[80:]),
        validation_file=translations(pairs[:80]),
        suffix="sphinx",
        steps=200,
        batch_size=32,
        micro_batch_size=32,
        learning_rate=1e-3,
        gate=Gate(improves=("loss", "chrf")),
    )
    return followed(client, job)


def translations(pairs: list[tuple[str, str]]) -> bytes:
    languages = {"source_language": "en", "target_language": "fr"}
    rows = [{"source": source, "target": target, **languages} for source, target in pairs]
    return "\n".join(map(json.dumps, rows)).encode()


def spam(client: Bestiary) -> dict[str, object]:
    from zoo.data.emails import emails

    training, held_out = apart(emails())
    job = client.tuning.create(
        "all-minilm-l6-v2",
        labelled(training),
        validation_file=labelled(random.Random(7).sample(held_out, 400)),
        suffix="spam",
        steps=400,
        batch_size=16,
        micro_batch_size=16,
        learning_rate=1e-3,
        max_tokens=96,
        gate=Gate(at_least={"f1": 0.95}),
    )
    return followed(client, job)


def labelled(mails: list) -> bytes:  # type: ignore[type-arg]
    rows = [{"text": one.text, "label": ("ham", "spam")[one.label]} for one in mails]
    return "\n".join(map(json.dumps, rows)).encode()


def latency(client: Bestiary) -> dict[str, object]:
    """One request a second, 40 each way; prompts differ, so that no prefix is kept."""
    first_tokens(client, 5)
    alone = first_tokens(client, 40)
    sys.path.insert(0, str(EXAMPLES))
    from tickets import chat_lines, tickets

    job = client.tuning.create(
        "otter",
        chat_lines(tickets(300, seed=1)),
        validation_file=chat_lines(tickets(10, seed=2)),
        steps=LONG_JOB_STEPS,
    )
    try:
        while steps_of(client.tuning.get(job)) < 2:
            time.sleep(1)
        before = steps_of(client.tuning.get(job))
        beside = first_tokens(client, 40)
        steps = steps_of(client.tuning.get(job)) - before
    finally:
        client.tuning.cancel(job)
    return {
        "ttft_ms_without_a_job": percentiles(alone),
        "ttft_ms_beside_a_job": percentiles(beside),
        "p95_ratio": percentiles(beside)["p95"] / percentiles(alone)["p95"],
        "steps_meanwhile": steps,
    }


def first_tokens(client: Bestiary, count: int) -> list[float]:
    """Milliseconds."""
    found = []
    for _ in range(count):
        began = time.perf_counter()
        prompt = PROMPT.format(random.randrange(10**9))
        with client.stream_chat(prompt, model="gecko", max_tokens=16) as stream:
            next(iter(stream))
            found.append(1e3 * (time.perf_counter() - began))
            for _ in stream:
                pass
        time.sleep(max(0.0, 1.0 - (time.perf_counter() - began)))
    return found


def percentiles(values: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=20)
    return {"p50": round(statistics.median(values), 1), "p95": round(cuts[18], 1)}


def followed(client: Bestiary, job: TuningJob, curve: str | None = None) -> dict[str, object]:
    began = time.monotonic()
    with watched_memory() as memory:
        done = client.tuning.wait(job, on_event=lambda event: console.print(event.message))
    if curve is not None:
        (PICTURES / curve).write_bytes(client.tuning.curve(done))
    scores = done.evaluation
    model = client.tuning.models.get(done.tuned_model) if done.tuned_model else None
    return {
        "job": done.id,
        "status": done.status,
        "failure": None if done.failure is None else done.failure.message,
        "model": done.tuned_model,
        "base": {} if scores is None else dict(scores.base),
        "tuned": {} if scores is None else dict(scores.tuned),
        "general": None if scores is None else (scores.general_base, scores.general_tuned),
        "held_out_examples": None if scores is None else scores.examples,
        "steps": steps_of(done),
        "training_cpu_minutes": None if model is None else model.lineage.training_seconds / 60,
        "minutes_in_all": (time.monotonic() - began) / 60,
        "largest_mb": memory[0],
        "estimated_minutes": None if done.plan is None else done.plan.estimated_seconds / 60,
    }


def steps_of(job: TuningJob) -> int:
    return 0 if job.progress is None else job.progress.completed_steps


@contextmanager
def watched_memory() -> Iterator[list[float]]:
    """The largest resident set of a trainer on this machine, in MB."""
    largest = [0.0]
    over = threading.Event()

    def watch() -> None:
        while not over.wait(1.0):
            for process in psutil.process_iter(["name", "memory_info"]):
                if "TrainerWorker" in (process.info["name"] or ""):
                    largest[0] = max(largest[0], process.info["memory_info"].rss / 1e6)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield largest
    finally:
        over.set()
        thread.join()


QUESTIONS: dict[str, Callable[[Bestiary], dict[str, object]]] = {
    "json": json_task,
    "style": style,
    "translator": translator,
    "spam": spam,
    "latency": latency,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(QUESTIONS))
    asked = parser.parse_args().only.split(",")
    with Bestiary(timeout=300) as client:
        for name in asked:
            console.rule(name)
            found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
            found[name] = QUESTIONS[name](client)
            RESULTS.write_text(json.dumps(found, indent=1) + "\n")
            console.print_json(data=found[name])


if __name__ == "__main__":
    main()
