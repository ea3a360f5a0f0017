"""Tuning jobs: what is sent, what comes back, and how a job is followed through restarts."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest
from scripted_server import Reply, ScriptedServer, refusal
from tuning_replies import (
    CREATED,
    ESTIMATE,
    FILE_ID,
    JOB_ID,
    METRICS,
    MODEL,
    MODEL_ID,
    checkpoint_body,
    file_body,
    job_body,
    message_event,
    page,
    step_event,
)

from bestiary_client import (
    AsyncBestiary,
    AsyncTunedModels,
    AsyncTuning,
    Bestiary,
    Conflict,
    Gate,
    JobEvent,
    JobFailure,
    ModelNotFound,
    NotFound,
    StepMetrics,
    TimedOut,
    TunedModels,
    Tuning,
    Unavailable,
    UnexpectedReply,
)
from bestiary_client._async_tuning import AsyncTuning as AsyncTuningWithSleep
from bestiary_client._tuning import Tuning as TuningWithSleep
from bestiary_client._tuning_replies import job_event, tuning_job
from bestiary_client._tuning_watch import FIRST_WAIT_S, LONGEST_WAIT_S, PAGE, Watch

RUNNING, DONE = Reply(body=job_body()), Reply(body=job_body("succeeded", 20))
AWAY = refusal(503, "unavailable")
STARTING = Reply(status=404, body="Path '/v1/fine_tuning/jobs' not found.")  # Ray Serve's proxy


@pytest.fixture
def client(server: ScriptedServer) -> Iterator[Bestiary]:
    with Bestiary(base_url=server.url, max_retries=0) as connected:
        yield connected


class Waits:
    def __init__(self) -> None:
        self.waited: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.waited.append(seconds)

    async def later(self, seconds: float) -> None:
        self.waited.append(seconds)


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def tuning(client: Bestiary, waits: Waits) -> Tuning:
    """Waits for nothing."""
    return TuningWithSleep(client._transport, client.files, waits)


# What is sent.


def test_a_job_is_asked_for_in_openais_words_and_ours(
    server: ScriptedServer, client: Bestiary
) -> None:
    server.will(Reply(body=job_body("queued", 0)))
    client.tuning.create(
        "otter",
        FILE_ID,
        validation_file="file-2",
        method="supervised",
        epochs=3,
        learning_rate=1e-4,
        rank=8,
        targets=["q_proj"],
        full=None,
        gate=Gate(at_least={"exact_match": 0.9}),
        seed=7,
        suffix="tickets",
        metadata={"team": "support"},
        priority=5,
        publish=False,
    )
    assert server.got[0].path == "/v1/fine_tuning/jobs"
    assert server.got[0].body == {
        "model": "otter",
        "training_file": FILE_ID,
        "validation_file": "file-2",
        "seed": 7,
        "suffix": "tickets",
        "metadata": {"team": "support"},
        "bestiary": {
            "method": "supervised",
            "hyperparameters": {
                "epochs": 3,
                "learning_rate": 1e-4,
                "lora": {"rank": 8, "targets": ["q_proj"]},
            },
            "gate": {
                "at_least": {"exact_match": 0.9},
                "at_most": {},
                "improves": ["loss"],
                "max_forgetting": 2.0,
            },
            "priority": 5,
            "publish": False,
        },
    }


def test_what_is_left_out_is_not_said(server: ScriptedServer, client: Bestiary) -> None:
    server.will(Reply(body=job_body("queued", 0)))
    client.tuning.create("otter", FILE_ID, epochs=None)
    assert server.got[0].body == {"model": "otter", "training_file": FILE_ID}


def test_a_path_is_uploaded_first(server: ScriptedServer, client: Bestiary, tmp_path: Path) -> None:
    server.will(Reply(body=file_body()), Reply(body=file_body(id="file-2")), RUNNING)
    (tmp_path / "a.jsonl").write_text("{}")
    client.tuning.create("otter", tmp_path / "a.jsonl", validation_file=b"{}")
    assert [one.path for one in server.got[:2]] == ["/v1/files"] * 2
    body = server.got[2].body or {}
    assert (body["training_file"], body["validation_file"]) == (FILE_ID, "file-2")


def test_a_file_that_is_named_like_an_id_is_a_file(
    server: ScriptedServer, client: Bestiary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file-mine").write_text("{}")
    server.will(Reply(body=file_body()), RUNNING)
    client.tuning.create("otter", "file-mine")
    assert (server.got[1].body or {})["training_file"] == FILE_ID


def test_a_stored_file_stands_for_itself(server: ScriptedServer, client: Bestiary) -> None:
    server.will(Reply(body=file_body()), RUNNING)
    client.tuning.create("otter", client.files.get(FILE_ID))
    assert (server.got[1].body or {})["training_file"] == FILE_ID


def test_every_attempt_at_a_job_has_the_same_key(server: ScriptedServer) -> None:
    server.will(refusal(503, "unavailable", {"retry-after": "0"}), RUNNING)
    with Bestiary(base_url=server.url) as client:
        client.tuning.create("otter", FILE_ID)
        client.tuning.create("otter", FILE_ID)
        client.tuning.create("otter", FILE_ID, idempotency_key="mine")
    first, again, other, mine = (one.headers["idempotency-key"] for one in server.got)
    assert first == again
    assert len({first, other, mine}) == 3
    assert mine == "mine"


def test_an_unknown_option_is_refused_before_anything_is_sent(
    server: ScriptedServer, client: Bestiary
) -> None:
    with pytest.raises(TypeError, match="unknown option 'epoch'"):
        client.tuning.create("otter", b"{}", epoch=3)  # type: ignore[call-arg]
    assert server.got == []


def test_jobs_are_moved_listed_and_looked_into(server: ScriptedServer, client: Bestiary) -> None:
    server.will(Reply(body=job_body("paused")))
    job = client.tuning.pause(JOB_ID)
    client.tuning.resume(job)
    client.tuning.cancel(job)
    server.will(page(job_body()))
    assert [one.id for one in client.tuning.list(metadata={"team": "support"}, limit=5)] == [JOB_ID]
    server.will(page(checkpoint_body(10), checkpoint_body(5)))
    saved = list(client.tuning.checkpoints(job))
    server.will(Reply(body=b"\x89PNG"))
    assert client.tuning.curve(job) == b"\x89PNG"
    assert [f"{one.method} {one.path}" for one in server.got] == [
        f"POST /v1/fine_tuning/jobs/{JOB_ID}/pause",
        f"POST /v1/fine_tuning/jobs/{JOB_ID}/resume",
        f"POST /v1/fine_tuning/jobs/{JOB_ID}/cancel",
        "GET /v1/fine_tuning/jobs?metadata%5Bteam%5D=support&limit=5",
        f"GET /v1/fine_tuning/jobs/{JOB_ID}/checkpoints",
        f"GET /v1/tuning/jobs/{JOB_ID}/curve.png",
    ]
    assert next((one.step, one.metrics) for one in saved) == (
        10,
        {"train_loss": 0.9, "valid_loss": 1.1},
    )


def test_what_a_state_does_not_allow_is_a_conflict(
    server: ScriptedServer, client: Bestiary
) -> None:
    server.will(refusal(409, "conflict"))
    with pytest.raises(Conflict):
        client.tuning.resume(JOB_ID)


# What comes back.


def test_a_job_is_read_whole(server: ScriptedServer, client: Bestiary) -> None:
    server.will(DONE)
    job = client.tuning.get(JOB_ID)
    assert (job.id, job.base, job.method, job.status) == (
        JOB_ID,
        "tiny-135m",
        "supervised",
        "succeeded",
    )
    assert job.final
    assert job.succeeded
    assert job.tuned_model == MODEL_ID
    assert job.finished_at == datetime.fromtimestamp(CREATED + 90, timezone.utc)
    assert job.hyperparameters == {"epochs": 4}
    assert job.plan is not None
    assert (job.plan.steps, job.plan.learning_rate) == (20, 2e-4)
    assert job.progress is not None
    assert (job.progress.completed_steps, job.progress.percent) == (20, 100.0)
    assert job.evaluation is not None
    assert (job.evaluation.tuned["exact_match"], job.evaluation.passed) == (0.75, True)
    assert (job.suffix, job.metadata, job.result_files) == (
        "tickets",
        {"team": "support"},
        ("file-results",),
    )


def test_a_failure_says_why() -> None:
    error = {"code": "invalid_request", "message": "the loss is nan", "param": "learning_rate"}
    job = tuning_job(job_body("failed", error=error))
    assert job.failure == JobFailure("invalid_request", "the loss is nan", "learning_rate")
    assert job.final
    assert not job.succeeded


def test_a_job_of_another_platform_is_read_too() -> None:
    """OpenAI's own object has no `bestiary`, and an error without a code."""
    body = job_body(error={"code": None, "message": None, "param": None})
    del body["bestiary"]
    job = tuning_job(body)
    assert (job.method, job.plan, job.progress, job.failure) == ("supervised", None, None, None)


def test_what_is_no_job_is_told() -> None:
    with pytest.raises(UnexpectedReply, match="status"):
        tuning_job({"id": JOB_ID, "model": "a"} | {"bestiary": {"method": "dpo"}})
    with pytest.raises(UnexpectedReply, match="created_at"):
        tuning_job(job_body(created_at="yesterday"))


def test_an_estimate_tells_plan_and_data(server: ScriptedServer, client: Bestiary) -> None:
    server.will(Reply(body=ESTIMATE))
    found = client.tuning.estimate("otter", FILE_ID, epochs=4)
    assert server.got[0].path == "/v1/tuning/estimate"
    assert "idempotency-key" not in server.got[0].headers
    assert (found.method, found.plan.estimated_seconds) == ("supervised", 90.0)
    assert (found.training.tokens, found.validation) == (1200, None)
    assert found.warnings == ("4 held-out examples say little",)


def test_metrics_are_rows_by_step(server: ScriptedServer, client: Bestiary) -> None:
    server.will(Reply(body=METRICS))
    assert client.tuning.metrics(JOB_ID) == (
        StepMetrics(1, {"train_loss": 3.0}),
        StepMetrics(2, {"train_loss": 1.5, "valid_loss": 1.25}),
        StepMetrics(3, {"train_loss": 1.0}),
    )
    server.will(Reply(body={**METRICS, "data": []}))
    assert client.tuning.metrics(JOB_ID) == ()


def test_tuned_models_tell_where_they_come_from(server: ScriptedServer, client: Bestiary) -> None:
    server.will(page(MODEL))
    [model] = client.tuning.models.list()
    assert (model.id, model.kind, model.min_replicas) == (MODEL_ID, "adapter", 1)
    assert (model.lineage.base_revision, model.lineage.seed) == ("abc123", 7)
    server.will(Reply(body=MODEL))
    assert client.tuning.models.get(model) == model
    client.tuning.models.delete(model)
    client.models.delete(MODEL_ID)
    deleted = "DELETE /v1/models/ft%3Atiny-135m%3Atickets%3A1a2b3c4d"
    assert [f"{one.method} {one.path}" for one in server.got[2:]] == [deleted] * 2
    server.will(refusal(404, "model_not_found"))
    with pytest.raises(ModelNotFound):
        client.tuning.models.get("ft:none")


# Following.


def test_events_come_once_and_in_order(
    server: ScriptedServer, tuning: Tuning, waits: Waits
) -> None:
    first, second = message_event(1, "opening"), step_event(1)
    server.will(
        RUNNING, page(second, first),
        RUNNING, page(second, first),
        DONE, page(message_event(3, "done"), step_event(2), second, first),
    )  # fmt: skip
    told = list(tuning.stream_events(JOB_ID))
    assert [one.message for one in told] == ["opening", "step 1", "step 2", "done"]
    assert told[1].data["train_loss"] == 3.0
    assert waits.waited == [FIRST_WAIT_S, FIRST_WAIT_S * 1.5]


def test_a_step_that_was_done_again_is_told_again(server: ScriptedServer, tuning: Tuning) -> None:
    again = {**step_event(1), "id": "ftevent-again"}
    server.will(RUNNING, page(step_event(1)), DONE, page(step_event(2), again))
    assert [one.id for one in tuning.stream_events(JOB_ID)][1:] == [
        "ftevent-again",
        "ftevent-step-2",
    ]


def test_older_pages_are_read_until_something_is_known(
    server: ScriptedServer, tuning: Tuning
) -> None:
    newest = [step_event(step) for step in range(PAGE + 1, 1, -1)]
    server.will(
        RUNNING, page(step_event(1)),
        DONE, page(*newest, has_more=True), page(step_event(1)),
    )  # fmt: skip
    assert len(list(tuning.stream_events(JOB_ID))) == PAGE + 1
    assert server.got[-1].path.endswith(f"limit={PAGE}&after=ftevent-step-2")


def test_without_history_only_news_are_told(server: ScriptedServer, tuning: Tuning) -> None:
    server.will(
        RUNNING, page(*(step_event(step) for step in range(PAGE, 0, -1)), has_more=True),
        DONE, page(step_event(PAGE + 1), step_event(PAGE)),
    )  # fmt: skip
    news = list(tuning.follow(JOB_ID, history=False))
    assert [[one.id for one in look.events] for look in news] == [[], [f"ftevent-step-{PAGE + 1}"]]


@pytest.mark.parametrize("failure", [AWAY, STARTING, Reply(cut=True), refusal(500, "internal")])
def test_a_platform_that_is_away_is_waited_for(
    server: ScriptedServer, tuning: Tuning, waits: Waits, failure: Reply
) -> None:
    server.will(RUNNING, page(), failure, RUNNING, failure, DONE, page(message_event(1, "done")))
    news = list(tuning.follow(JOB_ID))
    assert [look.lost is not None for look in news] == [False, True, True, False]
    assert {look.job.id for look in news} == {JOB_ID}
    assert [one.message for look in news for one in look.events] == ["done"]
    assert all(0 < seconds <= LONGEST_WAIT_S for seconds in waits.waited)


def test_a_job_that_is_known_is_waited_for_from_the_start(
    server: ScriptedServer, tuning: Tuning
) -> None:
    server.will(AWAY, DONE, page())
    known = tuning_job(job_body())
    assert [look.job.status for look in tuning.follow(known)] == ["running", "succeeded"]


def test_patience_ends(server: ScriptedServer, tuning: Tuning) -> None:
    server.will(RUNNING, page(), AWAY)
    with pytest.raises(Unavailable):
        list(tuning.follow(JOB_ID, patience=0))


def test_what_waiting_cannot_mend_is_raised_at_once(
    server: ScriptedServer, tuning: Tuning, waits: Waits
) -> None:
    server.will(refusal(404, "not_found"))
    with pytest.raises(NotFound):
        list(tuning.follow(JOB_ID))
    server.will(AWAY)
    with pytest.raises(Unavailable):
        list(tuning.follow(JOB_ID))  # nobody was there to begin with
    server.will(RUNNING, page(), refusal(404, "not_found"))
    with pytest.raises(NotFound):
        list(tuning.follow(JOB_ID))
    assert len(waits.waited) == 1


def test_waiting_gives_the_job_as_it_ended(server: ScriptedServer, tuning: Tuning) -> None:
    server.will(
        RUNNING, RUNNING, page(step_event(1)),
        Reply(body=job_body("failed")), page(step_event(2), step_event(1)),
    )  # fmt: skip
    heard: list[JobEvent] = []
    assert tuning.wait(JOB_ID, on_event=heard.append).status == "failed"
    assert [one.message for one in heard] == ["step 1", "step 2"]


def test_waiting_ends_with_its_timeout(server: ScriptedServer, tuning: Tuning) -> None:
    server.will(RUNNING, RUNNING, page())
    with pytest.raises(TimedOut, match="still running after 1e-06 s"):
        tuning.wait(JOB_ID, timeout=1e-6)


def test_waits_grow_while_nothing_happens_and_never_pass_the_timeout() -> None:
    now = 0.0
    watch = Watch(patience=10, timeout=20, history=True, clock=lambda: now)
    job = tuning_job(job_body())
    waited: list[float] = []
    for _ in range(5):
        watch.begin_look()
        watch.take([])
        watch.news(job)
        waited.append(watch.wait_s())
    assert waited == [1.5, 2.25, 3.375, 5.0, 5.0]
    watch.take([job_event(step_event(1))])
    watch.news(job)
    assert watch.wait_s() == FIRST_WAIT_S
    now = 19.5
    assert watch.wait_s() == 0.5


# Asyncio.


async def test_the_async_twin_follows_alike(server: ScriptedServer, waits: Waits) -> None:
    async with AsyncBestiary(base_url=server.url, max_retries=0) as client:
        tuning = AsyncTuningWithSleep(client._transport, client.files, waits.later)
        server.will(RUNNING, page(step_event(1)), AWAY, DONE, page(step_event(2), step_event(1)))
        assert [one.message async for one in tuning.stream_events(JOB_ID)] == ["step 1", "step 2"]
        server.will(RUNNING, RUNNING, page(), DONE, page(step_event(1)))
        heard: list[JobEvent] = []
        assert (await tuning.wait(JOB_ID, on_event=heard.append)).succeeded
        assert len(heard) == 1
    assert len(waits.waited) == 3


async def test_the_async_twin_asks_alike(server: ScriptedServer) -> None:
    async with AsyncBestiary(base_url=server.url) as client:
        server.will(Reply(body=file_body()), RUNNING)
        job = await client.tuning.create("otter", b"{}", rank=4)
        assert server.got[1].headers["idempotency-key"]
        server.will(Reply(body=ESTIMATE))
        await client.tuning.estimate("otter", FILE_ID)
        server.will(RUNNING)
        await asyncio.gather(
            client.tuning.pause(job), client.tuning.resume(job), client.tuning.cancel(job)
        )
        server.will(page(job_body()))
        assert [one.id async for one in client.tuning.list()] == [JOB_ID]
        server.will(page(step_event(1)))
        assert [one.type async for one in client.tuning.events(job)] == ["metrics"]
        server.will(page(checkpoint_body()))
        assert [one.step async for one in client.tuning.checkpoints(job)] == [10]
        server.will(Reply(body=METRICS))
        assert len(await client.tuning.metrics(job)) == 3
        server.will(Reply(body=b"png"))
        assert await client.tuning.curve(job) == b"png"
        server.will(page(MODEL))
        [model] = [one async for one in client.tuning.models.list()]
        server.will(Reply(body=MODEL))
        assert await client.tuning.models.get(model.id) == model
        await client.tuning.models.delete(model)
        await client.models.delete(model.id)


def test_both_twins_have_the_same_methods_with_the_same_words() -> None:
    def public(kind: type) -> dict[str, tuple[str, ...]]:
        return {
            name: tuple(inspect.signature(function).parameters)
            for name, function in vars(kind).items()
            if name[0] != "_"
        }

    assert public(Tuning) == public(AsyncTuning)
    assert public(TunedModels) == public(AsyncTunedModels)


def test_replies_are_json_as_they_stand() -> None:
    """The fixtures are what a platform could send."""
    for body in (job_body(), file_body(), ESTIMATE, METRICS, MODEL):
        assert json.loads(json.dumps(body)) == body
