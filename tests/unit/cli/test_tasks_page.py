"""docs/tasks.md runs: its Python as one program, its curl in a shell, its commands.

Against the real gateway; the models behind it are invented.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from loopback_gateway import LoopbackGateway
from typer.testing import CliRunner

from bestiary.cli.main import app
from bestiary.garden.tasks import Task
from services.gateway.dialects.native_tasks import NATIVE_TASKS

PAGE = (Path(__file__).parents[3] / "docs" / "tasks.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
SHELL = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
CURLS = [
    one for block in SHELL for one in re.split(r"^(?=curl )", block, flags=re.M) if "curl" in one
]
COMMANDS = [line for block in SHELL for line in block.splitlines() if line.startswith("bestiary ")]
NO_COMMAND = {Task.TOKEN_EMBED}  # vectors of tokens are for programs


@pytest.fixture(autouse=True)
def settings(gateway: LoopbackGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BESTIARY_HOME", str(gateway.home))
    monkeypatch.setenv("BESTIARY_PORT", str(gateway.port))
    monkeypatch.setenv("BESTIARY_API_KEY", gateway.key)
    monkeypatch.delenv("BESTIARY_URL", raising=False)


def test_the_python_runs(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    for number, block in enumerate(PYTHON):
        exec(compile(block, f"docs/tasks.md block {number}", "exec"), names)
    said = capsys.readouterr().out
    assert names["able"] == ["tiny-labels"]
    assert "Paris is the capital of France. 0.66" in said
    assert "spam 0.75" in said
    assert "THE HOUSE IS SMALL\n" in said


@pytest.mark.parametrize("curl", CURLS)
def test_every_curl_is_answered(gateway: LoopbackGateway, curl: str) -> None:
    done = subprocess.run(
        ["bash", "-ec", curl],
        env={"PATH": "/usr/bin:/bin", "KEY": gateway.key, "URL": gateway.url},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    if '"stream": true' in curl:
        assert done.stdout.endswith("data: [DONE]\n\n")
    else:
        document = json.loads(done.stdout)
        assert document.get("data") or document["results"]


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_runs(line: str) -> None:
    done = CliRunner().invoke(app, shlex.split(line)[1:])
    assert done.exit_code == 0, done.exception
    assert done.stdout.strip()


def test_every_task_is_on_the_page() -> None:
    asked, typed = "\n".join(CURLS), "\n".join(COMMANDS)
    methods = "\n".join(PYTHON)
    for task in NATIVE_TASKS:
        assert f"$URL/v1{task.path} " in asked
        assert f"client.{task.path[1:].replace('-', '_')}(" in methods
        assert f"bestiary {task.path[1:]} " in typed or task.task in NO_COMMAND
