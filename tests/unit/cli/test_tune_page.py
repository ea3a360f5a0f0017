"""docs/tuning.md runs: its Python as one program, its commands; before a scripted platform."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from tuning_platform import TuningPlatform
from tuning_replies import MODEL_ID
from typer.testing import CliRunner

from bestiary.cli import canary, files, tune
from bestiary.cli.main import app
from bestiary.schemas.tuning import FORMATS

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "tuning.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
SHELL = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [line for block in SHELL for line in block.splitlines() if line.startswith("bestiary ")]


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[TuningPlatform]:
    """A folder that has the data that the page works on."""
    (tmp_path / "key").write_text("sk-test")
    (tmp_path / "tickets.jsonl").write_text("{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BESTIARY_URL", raising=False)
    monkeypatch.setenv("BESTIARY_HOME", str(tmp_path))
    with TuningPlatform() as running:
        monkeypatch.setenv("BESTIARY_PORT", running.url.rpartition(":")[2])
        yield running


def test_the_python_runs(platform: TuningPlatform, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    for number, block in enumerate(PYTHON):
        exec(compile(block, f"docs/tuning.md block {number}", "exec"), names)
    said = capsys.readouterr().out
    assert "the job has succeeded" in said
    assert f"I am {MODEL_ID}" in said
    assert platform.got[-1].path.startswith("/v1/files")


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_runs(platform: TuningPlatform, line: str) -> None:
    done = CliRunner().invoke(app, shlex.split(line)[1:])
    assert done.exit_code == 0, (done.output, done.exception)


def test_every_command_and_method_is_on_the_page() -> None:
    typed = "\n".join(COMMANDS)
    for group in (tune, files, canary):
        name = group.__name__.rpartition(".")[2]
        for one in group.app.registered_commands:
            command = f"bestiary {name} {one.name or one.callback.__name__}"
            assert f"{command} " in typed.replace("\n", " ") + " ", command
    for method in FORMATS:
        assert f"`{method}`" in PAGE
