"""The SDK and `bestiary tune` before the real gateway, checks and stores; no trainer runs."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn
from bestiary_client import BadRequest, Bestiary, Conflict, NotFound
from click.testing import Result
from gateway_fakes import RUNNING, FakeDispatcher, FakeSink, database_url, no_targets
from tuning_fakes import CHATS, ENCODER_MODEL, TEXT_MODEL, jsonl, tuning_args
from typer.testing import CliRunner

from bestiary.cli.main import app
from bestiary.garden import Garden
from bestiary.profile.models import Tuning
from bestiary.schemas.tuning import Evaluation, JobError
from bestiary.state.database import Database
from bestiary.state.keys import Keys, KeyScope
from bestiary.state.tuning_jobs import StepMetrics
from bestiary.state.upgrade import upgrade
from services.gateway.application import Collaborators, gateway_application
from services.tuning.service import TuningService

STEPS = 4
Command = Callable[..., Result]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def service(home: Path, installed_home: Path) -> Iterator[TuningService]:
    upgrade(database_url(home))
    database = Database(database_url(home))
    yield TuningService(database, home / "files", Garden(installed_home), Tuning())
    database.close()


@pytest.fixture(scope="module")
def url(home: Path, service: TuningService) -> Iterator[str]:
    """Of a gateway; its key, which may all, is in `home`."""
    database = Database(database_url(home))
    keys = Keys(database)
    (home / "key").write_text(keys.create("tests", scopes=list(KeyScope)).secret)
    args = tuning_args(Tuning())
    others = Collaborators(
        FakeDispatcher(args), lambda: RUNNING, keys.verify, FakeSink(), no_targets, tuning=service
    )
    server = uvicorn.Server(uvicorn.Config(gateway_application(args, others), log_level="error"))
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join()
    listening.close()
    database.close()


@pytest.fixture
def client(url: str, home: Path) -> Iterator[Bestiary]:
    with Bestiary(base_url=url, api_key=(home / "key").read_text()) as connected:
        yield connected


@pytest.fixture
def command(url: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("BESTIARY_HOME", str(home))
    monkeypatch.setenv("BESTIARY_PORT", url.rpartition(":")[2])
    monkeypatch.chdir(tmp_path)
    Path("sums.jsonl").write_bytes(jsonl(CHATS))

    def run(*arguments: str) -> Result:
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, (result.output, result.exception)
        return result

    return run


def train(service: TuningService, job_id: str, *, fails: bool = False) -> None:
    """What a trainer tells of its job."""
    job = service.jobs.claim(max_running=100)
    assert job is not None
    assert job.id == job_id
    service.jobs.told(job.id, job.attempt, "training")
    for step in range(1, STEPS + 1):
        losses = {"train_loss": 4.0 / step, "valid_loss": 5.0 / step}
        service.jobs.progressed(job.id, job.attempt, [StepMetrics(step, 10 * step, losses)])
    service.jobs.progressed(job.id, job.attempt, (), saved={"train_loss": 1.0})
    found = Evaluation(examples=2, base={"loss": 3.0}, tuned={"loss": 1.0}, passed=not fails)
    service.jobs.evaluated(job.id, job.attempt, found)
    if fails:
        error = JobError(code="invalid_request", message="the loss is nan", param="learning_rate")
        service.jobs.failed(job.id, job.attempt, error)
    else:
        service.jobs.succeeded(
            job.id, job.attempt, model=None, result_files=(), message="done, not published"
        )


def test_a_file_is_checked_kept_and_fetched(client: Bestiary) -> None:
    file = client.files.upload(jsonl(CHATS), filename="sums.jsonl")
    assert file.report is not None
    assert (file.report.format, file.report.examples) == ("chat", len(CHATS))
    assert client.files.get(file) == file
    assert client.files.content(file) == jsonl(CHATS)
    assert file.id in [one.id for one in client.files.list(purpose="fine-tune")]
    client.files.delete(file)
    with pytest.raises(NotFound):
        client.files.get(file)


def test_bad_lines_are_told_with_their_numbers(client: Bestiary) -> None:
    with pytest.raises(BadRequest, match="line 2"):
        client.files.upload(jsonl(CHATS[:1]) + b"{broken\n", filename="a.jsonl")


def test_a_job_is_estimated_made_once_and_moved(client: Bestiary) -> None:
    file = client.files.upload(jsonl(CHATS), filename="sums.jsonl")
    found = client.tuning.estimate("gecko", file, steps=STEPS, rank=4)
    assert (found.method, found.plan.steps) == ("supervised", STEPS)
    assert found.training.tokens
    same = {"steps": STEPS, "metadata": {"test": "moves"}, "idempotency_key": "once"}
    job = client.tuning.create("gecko", file, **same)
    assert client.tuning.create("gecko", file, **same).id == job.id
    assert (job.base, job.status, job.final) == (TEXT_MODEL, "queued", False)
    assert [one.id for one in client.tuning.list(metadata={"test": "moves"})] == [job.id]
    assert client.tuning.pause(job).status == "paused"
    assert client.tuning.resume(job).status == "queued"
    assert client.tuning.cancel(job).status == "cancelled"
    with pytest.raises(Conflict):
        client.tuning.resume(job)


def test_a_trained_job_is_followed_and_told(client: Bestiary, service: TuningService) -> None:
    job = client.tuning.create("gecko", jsonl(CHATS), steps=STEPS)
    trainer = threading.Timer(0.2, train, (service, job.id))
    trainer.start()
    done = client.tuning.wait(job, timeout=60)
    trainer.join()
    assert done.succeeded
    assert done.progress is not None
    assert done.progress.completed_steps == STEPS
    assert done.evaluation is not None
    assert (done.evaluation.base, done.evaluation.tuned) == ({"loss": 3.0}, {"loss": 1.0})
    kinds = [one.type for one in client.tuning.stream_events(done)]
    assert kinds.count("metrics") == STEPS
    losses = [one.get("train_loss") for one in client.tuning.metrics(job)]
    assert losses == [4.0, 2.0, 4.0 / 3, 1.0]
    assert [one.step for one in client.tuning.checkpoints(job)] == [STEPS]
    assert client.tuning.curve(job).startswith(b"\x89PNG")


def test_the_command_line_goes_the_same_way(command: Command, service: TuningService) -> None:
    assert f"examples  {len(CHATS)}" in command("tune", "check", "sums.jsonl").stderr
    started = command(
        *("tune", "start", "gecko", "sums.jsonl", "--steps", str(STEPS), "--suffix", "sums"),
        *("--gate", "exact_match>=0.9", "--patience", "2", "--detach"),
    )
    job = started.stdout.strip()
    spec = service.jobs.get(job).spec
    assert (spec.suffix, spec.gate.at_least) == ("sums", {"exact_match": 0.9})
    assert (spec.hyperparameters.steps, spec.hyperparameters.patience) == (STEPS, 2)
    train(service, job)
    followed = command("tune", "follow", job)
    assert "not published" in followed.stderr
    assert job in command("tune", "list", "--status", "succeeded").stdout
    assert "base  tuned" in command("tune", "show", job).stdout
    assert "training" in command("tune", "events", job).stdout
    command("tune", "curve", job, "-o", "loss.png")
    assert Path("loss.png").read_bytes().startswith(b"\x89PNG")


def test_a_failure_is_told_as_it_was(client: Bestiary, service: TuningService) -> None:
    job = client.tuning.create("gecko", jsonl(CHATS), steps=STEPS)
    train(service, job.id, fails=True)
    failure = client.tuning.wait(job, timeout=60).failure
    assert failure is not None
    assert (failure.message, failure.param) == ("the loss is nan", "learning_rate")


def test_every_option_of_a_job_is_known_to_the_gateway(
    client: Bestiary, service: TuningService
) -> None:
    lines = jsonl([{"text": f"text {number}", "label": "ab"[number % 2]} for number in range(40)])
    job = client.tuning.create(
        "embedding-gecko-001",
        lines,
        method="classification",
        epochs=2,
        batch_size=4,
        micro_batch_size=2,
        learning_rate=1e-4,
        warmup_ratio=0.1,
        cooldown_ratio=0.2,
        weight_decay=0.01,
        max_gradient_norm=0.5,
        max_tokens=32,
        packing=False,
        full=True,
        rank=4,
        alpha=8.0,
        dropout=0.0,
        targets=["query"],
        beta=0.2,
        temperature=1.0,
        logits_share=0.3,
        patience=1,
        evaluate_every=2,
        checkpoint_every=2,
        held_out_share=0.2,
        suffix="ab",
        seed=7,
        publish=False,
        priority=3,
        workers=1,
        min_replicas=1,
        metadata={"a": "b"},
    )
    spec = service.jobs.get(job.id).spec
    assert (spec.base, spec.method, spec.priority, spec.publish) == (
        ENCODER_MODEL,
        "classification",
        3,
        False,
    )
    asked = spec.hyperparameters.model_dump()
    assert asked.pop("lora") == {
        "rank": 4,
        "alpha": 8.0,
        "dropout": 0.0,
        "targets": ("query",),
    }
    assert asked | {"epochs": 2, "held_out_share": 0.2, "packing": False, "full": True} == asked
    client.tuning.cancel(job)


def test_a_canary_goes_its_way(client: Bestiary) -> None:
    canary = client.canaries.start(
        "support", base="gecko", candidate=TEXT_MODEL, weights=(0.1, 1.0), min_requests=5
    )
    assert (canary.weight, canary.rules.weights, canary.rules.min_requests) == (0.1, (0.1, 1.0), 5)
    assert canary.candidate_arm.mean_first_token_s is None
    assert client.canaries.move("support", weight=0.5).weight == 0.5
    assert client.canaries.move("support", step=0).weight == 0.1
    assert client.canaries.promote("support").state == "promoted"
    assert [one.alias for one in client.canaries.list()] == ["support"]
    client.canaries.end("support")
    with pytest.raises(NotFound):
        client.canaries.get("support")
