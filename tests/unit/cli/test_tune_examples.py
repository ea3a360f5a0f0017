"""Every script of examples/tuning runs to its end, before a scripted platform."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tuning_platform import TuningPlatform

FOLDER = Path(__file__).parents[3] / "examples" / "tuning"
DATA = {"tickets", "emoji_style"}  # make data, ask no platform
PICTURES = {"style_before_and_after"}  # needs a tuned image model
OTHERS_SDKS = {"openai_sdk"}  # tests/contract has OpenAI's own environment
SCRIPTS = {
    "strict_json": "succeeded",
    "classifier": "succeeded",
    "preferences": "succeeded {'loss': 0.5, 'exact_match': 0.75}",
    "distillation": "succeeded",
    "learning_rates": "best: 0.0001",
    "canary": "rolled_back",
}


@pytest.fixture
def platform() -> Iterator[TuningPlatform]:
    with TuningPlatform() as running:
        yield running


def test_every_script_is_known() -> None:
    assert {file.stem for file in FOLDER.glob("*.py")} == {*SCRIPTS, *DATA, *PICTURES, *OTHERS_SDKS}


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_example_runs_to_its_end(platform: TuningPlatform, script: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, FOLDER / f"{script}.py"],
        env={**os.environ, "BESTIARY_URL": platform.url, "BESTIARY_HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == SCRIPTS[script]


def test_tickets_are_lines_of_conversations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    from tickets import chat_lines, tickets

    assert tickets(5, seed=1) == tickets(5, seed=1) != tickets(5, seed=2)
    lines = [json.loads(line) for line in chat_lines(tickets(5, seed=1)).splitlines()]
    assert [[one["role"] for one in line["messages"]] for line in lines] == [
        ["system", "user", "assistant"]
    ] * 5
    answer = json.loads(lines[0]["messages"][2]["content"])
    assert answer.keys() == {"product", "problem", "order", "urgent"}
