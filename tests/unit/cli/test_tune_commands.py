"""`bestiary tune`, `files` and `canary`, through the SDK, before a scripted platform."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bestiary_client import BadRequest, NotFound
from click.testing import Result
from tuning_platform import CURVE, DATA, STEPS, TuningPlatform
from tuning_replies import FILE_ID, JOB_ID, MODEL_ID
from typer.testing import CliRunner

from bestiary.cli import canary, files, tune
from bestiary.cli.main import app
from bestiary.errors import Conflict, InvalidRequest, Unavailable

Command = Callable[..., Result]
JOBS, FILES = "/v1/fine_tuning/jobs", "/v1/files"


@pytest.fixture
def platform() -> Iterator[TuningPlatform]:
    with TuningPlatform() as running:
        yield running


@pytest.fixture
def command(platform: TuningPlatform, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """In a folder of its own, which has data."""
    (tmp_path / "key").write_text("sk-test")
    monkeypatch.setenv("BESTIARY_HOME", str(tmp_path))
    monkeypatch.setenv("BESTIARY_PORT", platform.url.rpartition(":")[2])
    monkeypatch.chdir(tmp_path)
    Path("tickets.jsonl").write_text('{"messages": []}\n')
    Path("held.jsonl").write_text("{}\n")
    return lambda *arguments, **more: CliRunner().invoke(app, arguments, **more)


def done(result: Result) -> Result:
    assert result.exit_code == 0, (result.output, result.exception)
    return result


def flat(text: str) -> str:
    return " ".join(text.split())


def test_help_teaches_every_command_with_an_example(command: Command) -> None:
    for group in (tune, files, canary):
        name = group.__name__.rpartition(".")[2]
        for one in group.app.registered_commands:
            asked = one.name or one.callback.__name__
            assert f"Example: bestiary {name} {asked}" in (one.callback.__doc__ or ""), asked
    said = flat(done(command("tune", "start", "--help")).stdout)
    assert "Example: bestiary tune start otter tickets.jsonl" in said


def test_data_goes_up_is_told_and_a_job_starts(command: Command, platform: TuningPlatform) -> None:
    arguments = ("--method", "supervised", "--epochs", "3", "--rank", "8", "--seed", "7")
    more = ("--suffix", "tickets", "--gate", "exact_match>=0.9", "--gate", "forgetting<=1.5")
    last = ("--metadata", "team=support", "--no-publish", "--validation", "held.jsonl", "--detach")
    result = done(command("tune", "start", "otter", "tickets.jsonl", *arguments, *more, *last))

    assert result.stdout == f"{JOB_ID}\n"
    told = flat(result.stderr)
    assert "examples 40" in told
    assert "36 to train on, 4 held out" in told
    assert "about 1 min 30 s, costs 0.50" in told
    assert "4 held-out examples say little" in told
    assert [b"tickets.jsonl" in one.raw for one in platform.asked("POST", FILES)] == [True, False]
    [job] = platform.asked("POST", JOBS)
    assert job.body == {
        "model": "otter",
        "training_file": FILE_ID,
        "validation_file": FILE_ID,
        "seed": 7,
        "suffix": "tickets",
        "metadata": {"team": "support"},
        "bestiary": {
            "method": "supervised",
            "hyperparameters": {"epochs": 3, "lora": {"rank": 8}},
            "gate": {
                "at_least": {"exact_match": 0.9},
                "at_most": {},
                "improves": ["loss"],
                "max_forgetting": 1.5,
            },
            "publish": False,
        },
    }


def test_a_job_is_followed_to_its_end(command: Command, platform: TuningPlatform) -> None:
    result = done(command("tune", "start", "otter", FILE_ID))
    assert result.stdout == f"{MODEL_ID}\n"
    told = flat(result.stderr)
    assert "the job has succeeded" in told
    assert f"step {STEPS}/{STEPS}" in told
    assert "exact_match 0 0.75 +0.75" in told
    assert "perplexity on general text 20 22 +2" in told
    assert "gate passed" in told
    assert platform.asked("POST", FILES) == []


def test_a_platform_that_restarts_is_waited_for(command: Command, platform: TuningPlatform) -> None:
    platform.away = 3  # the SDK tries three times before it tells
    result = done(command("tune", "follow", JOB_ID))
    assert "does not answer, trying again" in flat(result.stderr)
    assert result.stdout == f"{MODEL_ID}\n"


def test_a_job_that_fails_says_why_and_is_a_failure(
    command: Command, platform: TuningPlatform
) -> None:
    platform.ends_as = "failed"
    result = command("tune", "follow", JOB_ID)
    assert result.exit_code == 1
    assert "failed: the loss is nan" in flat(result.stderr)
    assert result.stdout == ""


def test_ctrl_c_stops_the_following_and_not_the_job(
    command: Command, platform: TuningPlatform, tmp_path: Path
) -> None:
    platform.status = "paused"  # for ever
    with subprocess.Popen(
        [sys.executable, "-m", "bestiary.cli.main", "tune", "follow", JOB_ID],
        env=dict(os.environ),
        stderr=subprocess.PIPE,
        text=True,
        # Where a shell runs the tests in the background, it has them ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as follower:
        ends_at = time.monotonic() + 60
        while len(platform.asked("GET", f"{JOBS}/{JOB_ID}")) < 2:
            assert time.monotonic() < ends_at
            time.sleep(0.02)
        follower.send_signal(signal.SIGINT)
        _, said = follower.communicate(timeout=30)
    assert follower.returncode == 130
    assert "the job goes on" in said
    assert f"bestiary tune follow {JOB_ID}" in said
    assert {one.method for one in platform.got} == {"GET"}


def test_jobs_are_listed_and_shown(command: Command, platform: TuningPlatform) -> None:
    listed = flat(done(command("tune", "list")).stdout)
    assert f"{JOB_ID} running tiny-135m supervised 0/20" in listed
    assert JOB_ID not in done(command("tune", "list", "--status", "failed")).stdout
    platform.status, platform.step = "succeeded", STEPS
    shown = flat(done(command("tune", "show", JOB_ID)).stdout)
    for told in (
        "held: loss must be better",
        "loss 3 █▃▁ 1",
        "base tiny-135m at abc123",
        "20 of 8 examples (4 epochs)",
        MODEL_ID,
    ):
        assert told in shown
    facts = json.loads(done(command("tune", "show", JOB_ID, "--json")).stdout)
    assert facts["evaluation"]["tuned"]["exact_match"] == 0.75
    assert facts["finished_at"].startswith("2026-")


def test_events_and_checkpoints_are_shown(command: Command, platform: TuningPlatform) -> None:
    platform.status, platform.step = "succeeded", STEPS
    lines = done(command("tune", "events", JOB_ID)).stdout.splitlines()
    assert [line.split()[-1] for line in lines] == ["model", "succeeded"]
    lines = done(command("tune", "events", JOB_ID, "--metrics", "--limit", "5")).stdout.splitlines()
    assert lines[0].endswith("step 17")
    steps = [
        line.split()[1] for line in done(command("tune", "checkpoints", JOB_ID)).stdout.splitlines()
    ]
    assert steps == ["step", "10", "5"]


def test_jobs_are_moved(command: Command) -> None:
    for name, state in (("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled")):
        assert f"{JOB_ID}: {state}" in done(command("tune", name, JOB_ID)).stderr


def test_the_curve_is_a_file(command: Command) -> None:
    assert done(command("tune", "curve", JOB_ID, "-o", "a/loss.png")).stdout == "a/loss.png\n"
    assert Path("a/loss.png").read_bytes() == CURVE
    assert isinstance(command("tune", "curve", JOB_ID, "-o", "a/loss.png").exception, Conflict)
    done(command("tune", "curve", JOB_ID, "-o", "a/loss.png", "--force"))


def test_a_check_keeps_nothing(command: Command, platform: TuningPlatform) -> None:
    told = flat(done(command("tune", "check", "tickets.jsonl")).stderr)
    assert "format chat examples 40" in told
    assert "duplicates 2" in told
    assert "to 32 tokens" in told
    assert len(platform.asked("DELETE", f"{FILES}/{FILE_ID}")) == 1


def test_an_estimate_starts_nothing_and_keeps_nothing(
    command: Command, platform: TuningPlatform
) -> None:
    result = done(command("tune", "estimate", "otter", "tickets.jsonl", "--json"))
    assert json.loads(result.stdout)["plan"]["steps"] == 20
    done(command("tune", "estimate", "otter", FILE_ID))
    assert platform.asked("POST", JOBS) == []
    assert len(platform.asked("DELETE", f"{FILES}/{FILE_ID}")) == 1


def test_bad_lines_are_told(command: Command) -> None:
    Path("bad.jsonl").write_text("BROKEN")
    for line in (("tune", "check"), ("tune", "start", "otter"), ("files", "upload")):
        assert isinstance(command(*line, "bad.jsonl").exception, BadRequest)


@pytest.mark.parametrize(
    ("arguments", "param"),
    [
        (("tune", "start", "otter", "nowhere.jsonl"), "file"),
        (("tune", "start", "otter", "tickets.jsonl", "--validation", "nowhere"), "file"),
        (("tune", "start", "otter", "tickets.jsonl", "--gate", "f1>0.9"), "gate"),
        (("tune", "start", "otter", "tickets.jsonl", "--metadata", "team"), "metadata"),
        (("canary", "start", "support", "--candidate", "a", "--weights", "half"), "weights"),
        (("canary", "move", "support"), "weight"),
    ],
)
def test_bad_arguments_are_told_before_anything_is_sent(
    command: Command, platform: TuningPlatform, arguments: tuple[str, ...], param: str
) -> None:
    result = command(*arguments)
    assert isinstance(result.exception, InvalidRequest)
    assert result.exception.param == param
    assert platform.got == []


def test_models_are_listed_shown_and_deleted(command: Command, platform: TuningPlatform) -> None:
    assert f"{MODEL_ID} adapter tiny-135m supervised 36 passed" in flat(
        done(command("tune", "models")).stdout
    )
    assert "4,400 tokens in 1 min 20 s" in flat(done(command("tune", "model", MODEL_ID)).stdout)
    assert command("tune", "delete", MODEL_ID, input="n\n").exit_code == 1
    path = f"/v1/models/{MODEL_ID.replace(':', '%3A')}"
    assert platform.asked("DELETE", path) == []
    assert "deleted" in done(command("tune", "delete", MODEL_ID, "--yes")).stderr
    assert len(platform.asked("DELETE", path)) == 1


def test_base_and_tuned_answer_side_by_side(command: Command, platform: TuningPlatform) -> None:
    result = done(command("tune", "compare", MODEL_ID, "Hello?", "--system", "Be short."))
    assert f"I am tiny-135m │ I am {MODEL_ID}" in flat(result.stdout)
    first, second = platform.asked("POST", "/v1/chat/completions")
    assert (first.body or {})["messages"] == (second.body or {})["messages"]
    assert (first.body or {})["temperature"] == 0


def test_files_are_kept_shown_and_fetched(command: Command) -> None:
    assert done(command("files", "upload", "tickets.jsonl")).stdout == f"{FILE_ID}\n"
    assert f"{FILE_ID} tickets.jsonl fine-tune 4.096 kB 40 chat" in flat(
        done(command("files", "list")).stdout
    )
    assert "status processed" in flat(done(command("files", "show", FILE_ID)).stdout)
    assert isinstance(command("files", "download", FILE_ID).exception, Conflict)
    assert done(command("files", "download", FILE_ID, "-o", "b.jsonl")).stdout == "b.jsonl\n"
    assert Path("b.jsonl").read_bytes() == DATA
    done(command("files", "delete", FILE_ID))


def test_a_canary_is_started_watched_moved_and_ended(
    command: Command, platform: TuningPlatform
) -> None:
    line = ("canary", "start", "support", "--base", "otter", "--candidate", MODEL_ID)
    started = done(command(*line, "--weights", "0.05,0.25,1", "--manual"))
    assert f"support: running, 25% to {MODEL_ID}, 75% to otter" in flat(started.stderr)
    assert platform.got[0].body == {
        "alias": "support",
        "base": "otter",
        "candidate": MODEL_ID,
        "rules": {"weights": [0.05, 0.25, 1.0], "automatic": False},
    }
    status = flat(done(command("canary", "status", "support")).stdout)
    assert "0.05, 0.25, 1; rules move it" in status
    assert "base otter 75% 40 1 (2.5%) 100 ms" in status
    assert "support running 25% otter" in flat(done(command("canary", "status")).stdout)
    assert "50% to" in done(command("canary", "move", "support", "--weight", "0.5")).stderr
    assert "promoted, 100% to" in done(command("canary", "promote", "support")).stderr
    assert "rolled back, 0% to" in done(command("canary", "rollback", "support")).stderr
    done(command("canary", "end", "support"))
    assert platform.got[-1].method == "DELETE"


def test_what_is_not_there_is_told(command: Command) -> None:
    assert isinstance(command("tune", "show", "ftjob-none").exception, NotFound)
    assert isinstance(command("files", "show", "file-none").exception, NotFound)


def test_without_a_platform_it_says_how_to_start_one(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BESTIARY_PORT", "1")
    assert isinstance(command("tune", "list").exception, Unavailable)
