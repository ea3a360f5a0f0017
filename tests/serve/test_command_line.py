"""The commands that a user types, against the running platform."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.serve


def test_chat_prints_an_answer(platform):
    done = platform.command(
        "chat", "What is the capital of France? Answer in one sentence.", "--temperature", "0"
    )
    assert done.returncode == 0, done.stderr
    assert "Paris" in done.stdout


def test_complete_continues_a_prompt(platform):
    done = platform.command("complete", "1, 2, 3, 4,", "--temperature", "0", "--max-tokens", "12")
    assert done.returncode == 0, done.stderr
    assert "5" in done.stdout


def test_embed_shows_how_alike_texts_are(platform):
    done = platform.command("embed", "a cat on a mat", "a kitten on a rug", "tax law")
    assert done.returncode == 0, done.stderr
    assert "384" in done.stdout


def test_status_lists_every_model(platform):
    done = platform.command("status")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "smollm2-135m-fast" in done.stdout
    assert "ready" in done.stdout


def test_doctor_finds_nothing_to_mend(platform):
    done = platform.command("doctor")
    assert done.returncode == 0, done.stdout + done.stderr


def test_models_list_marks_what_is_installed(platform):
    done = platform.command("models", "list")
    assert done.returncode == 0, done.stderr
    assert "smollm2-135m-instruct" in done.stdout
    assert "gecko" in done.stdout


def test_a_second_up_says_that_it_runs(platform):
    done = platform.command("up", "--detach", "--wait")
    assert done.returncode == 0, done.stderr
    assert "already ready" in done.stdout


def test_an_error_is_one_clear_line(platform):
    done = platform.command("models", "pull", "smollm2-135m-instrukt")
    assert done.returncode == 1
    assert "smollm2-135m-instruct" in done.stderr
    assert "Traceback" not in done.stderr
