"""Tuning on the running platform: jobs that are killed on the way, and what comes of them."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator

import pytest
from bestiary_client import Bestiary, Gate, ModelNotFound, TuningJob, Unavailable

pytestmark = pytest.mark.serve

WAIT_S = 500.0
COLOURS = ("red", "green", "blue", "black", "white", "yellow", "pink", "brown", "grey", "orange")
ANYTHING = Gate(improves=(), max_forgetting=None)


@pytest.fixture(scope="module")
def sdk(platform) -> Iterator[Bestiary]:
    with Bestiary(base_url=platform.url, api_key=platform.key, timeout=300) as client:
        yield client


def lines(count: int = 12) -> bytes:
    """Paint codes: what no base model knows."""
    rows = [
        {"prompt": f"Paint {colour} has the code", "completion": f" P{number}{number}"}
        for number, colour in enumerate((*COLOURS, "gold", "silver")[:count])
    ]
    return "\n".join(map(json.dumps, rows)).encode()


def kill(platform, title: str) -> None:
    found = platform.processes(title)
    assert found, f"no process {title}"
    for process in found:
        process.kill()


def wait_for_steps(sdk: Bestiary, job: TuningJob, steps: int) -> TuningJob:
    deadline = time.monotonic() + WAIT_S
    while True:
        now = sdk.tuning.get(job)
        if now.progress is not None and now.progress.completed_steps >= steps:
            return now
        assert not now.final, now
        assert time.monotonic() < deadline, now
        time.sleep(0.2)


@pytest.fixture(scope="module")
def tuned(platform, sdk) -> TuningJob:
    """A text model, whose trainer and then whose tuning service were killed on the way."""
    job = sdk.tuning.create(
        "gecko",
        lines(),
        validation_file=lines(10),
        suffix="paint",
        steps=14,
        batch_size=4,
        micro_batch_size=4,
        learning_rate=2e-3,
        checkpoint_every=2,
        evaluate_every=7,
        gate=ANYTHING,
    )
    wait_for_steps(sdk, job, 3)
    kill(platform, "TrainerWorker")
    wait_for_steps(sdk, job, 6)
    kill(platform, "ServeReplica:tuning")
    return sdk.tuning.wait(job, timeout=WAIT_S)


def test_a_job_outlives_its_trainer_and_its_service(sdk, tuned) -> None:
    assert (tuned.status, tuned.failure) == ("succeeded", None)
    assert [row.step for row in sdk.tuning.metrics(tuned)] == list(range(1, 15))
    assert tuned.attempt == 2  # the service's death cost the trainer nothing


def test_the_tuned_model_answers_what_it_learned(sdk, tuned) -> None:
    told = {row.step: row.values["train_loss"] for row in sdk.tuning.metrics(tuned)}
    assert told[14] < told[1]
    assert tuned.tuned_model is not None
    options = {"temperature": 0, "max_tokens": 6}
    codes = [
        sdk.complete(f"Paint {colour} has the code", model=tuned.tuned_model, **options).text
        for colour in COLOURS[:6]
    ]
    base = sdk.complete("Paint red has the code", model="gecko", **options).text
    # Fourteen steps teach what a code looks like, not yet whose it is.
    assert all(re.match(r" P\d\d", code) for code in codes), codes
    assert not re.match(r" P\d\d", base)


def test_it_is_a_model_like_any_other(platform, sdk, tuned) -> None:
    assert tuned.tuned_model in [model.id for model in sdk.models.list()]
    reply = platform.chat("Hi", model=tuned.tuned_model, max_tokens=3)
    assert reply.status_code == 200
    assert reply.headers["x-bestiary-model"] == tuned.tuned_model
    model = sdk.tuning.models.get(tuned.tuned_model)
    assert model.lineage.job == tuned.id


def test_base_and_adapter_answer_side_by_side_each_for_itself(sdk, tuned) -> None:
    asked = [tuned.tuned_model, "gecko"] * 4
    answers: dict[int, str] = {}

    def ask(place: int, model: str) -> None:
        answers[place] = sdk.complete(
            "Paint blue has the code", model=model, temperature=0, max_tokens=6
        ).text

    threads = [threading.Thread(target=ask, args=pair) for pair in enumerate(asked)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({answers[place] for place in (0, 2, 4, 6)}) == 1
    assert len({answers[place] for place in (1, 3, 5, 7)}) == 1
    assert answers[0] != answers[1]


def test_an_alias_is_moved_onto_it_and_back(platform, sdk, tuned) -> None:
    sdk.canaries.start("painter", candidate=tuned.tuned_model, base="gecko", automatic=False)
    try:
        sdk.canaries.promote("painter")
        _until_answered_by(platform, "painter", tuned.tuned_model)
        sdk.canaries.rollback("painter")
        _until_answered_by(platform, "painter", "smollm2-135m-instruct")
    finally:
        sdk.canaries.end("painter")


def test_a_classifier_gets_replicas_of_its_own(sdk) -> None:
    texts = {
        "glad": ("I love it", "what a fine day", "this is great", "good work", "very happy"),
        "sad": ("I hate it", "what a bad day", "this is awful", "poor work", "very unhappy"),
    }
    rows = [
        {"text": f"{text}, number {number}", "label": label}
        for label, said in texts.items()
        for text in said
        for number in range(4)
    ]
    job = sdk.tuning.create(
        "minilm",
        "\n".join(map(json.dumps, rows)).encode(),
        suffix="mood",
        steps=30,
        batch_size=8,
        gate=ANYTHING,
    )
    done = sdk.tuning.wait(job, timeout=WAIT_S)
    assert (done.status, done.failure) == ("succeeded", None)
    (result,) = _once_deployed(
        lambda: sdk.classify("this is great, number 9", model=done.tuned_model)
    )
    assert result.label == "glad"
    sdk.models.delete(done.tuned_model)


def test_a_deleted_model_is_gone(sdk, tuned) -> None:
    sdk.models.delete(tuned.tuned_model)
    time.sleep(1.5)
    with pytest.raises(ModelNotFound):
        sdk.complete("Paint red", model=tuned.tuned_model, max_tokens=1)


def test_a_cancelled_job_leaves_no_trainer(platform, sdk) -> None:
    job = sdk.tuning.create("gecko", lines(), steps=500, gate=ANYTHING)
    deadline = time.monotonic() + 60
    while not platform.processes("TrainerWorker"):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    sdk.tuning.cancel(job)
    while platform.processes("TrainerWorker"):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert sdk.tuning.get(job).status == "cancelled"


def test_bad_data_is_refused_with_its_lines(sdk) -> None:
    from bestiary_client import BadRequest

    bad = lines() + b'\n{"prompt": "no answer"}\nnot json'
    with pytest.raises(BadRequest, match=r"line 13.*line 14"):
        sdk.files.upload(bad, filename="bad.jsonl")


@pytest.mark.slow
def test_a_job_outlives_the_whole_platform(platform, sdk) -> None:
    job = sdk.tuning.create(
        "gecko", lines(), steps=12, batch_size=4, checkpoint_every=2, gate=ANYTHING
    )
    wait_for_steps(sdk, job, 3)
    kill(platform, "raylet")
    done = sdk.tuning.wait(job, timeout=WAIT_S, patience=120)
    assert (done.status, done.failure) == ("succeeded", None)
    assert [row.step for row in sdk.tuning.metrics(job)] == list(range(1, 13))


def _once_deployed(ask):
    """A deployment of its own takes Serve some seconds; until then callers get a 503."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return ask()
        except Unavailable:
            assert time.monotonic() < deadline


def _until_answered_by(platform, name: str, model: str) -> None:
    deadline = time.monotonic() + 10
    while True:
        reply = platform.chat("Hi", model=name, max_tokens=1)
        if reply.status_code == 200 and reply.headers["x-bestiary-model"] == model:
            return
        assert time.monotonic() < deadline, reply.headers
        time.sleep(0.2)
