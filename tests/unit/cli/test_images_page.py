"""docs/images.md runs: its Python as one program, its curl in a shell, its commands.

Against the real gateway; the models behind it are invented.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from image_fakes import ImageDispatcher, image_args, png
from loopback_gateway import LoopbackGateway
from typer.testing import CliRunner

from bestiary.cli import image
from bestiary.cli.main import app
from services.gateway.dialects.native_image_tasks import ASK_TASKS, DRAW_TASKS

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "images.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
SHELL = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [line for block in SHELL for line in block.splitlines() if line.startswith("bestiary ")]
CURLS = [
    one
    for block in SHELL
    for one in re.split(r"^(?=curl |bestiary )", block, flags=re.M)
    if one.startswith("curl")
]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackGateway]:
    home = tmp_path_factory.mktemp("gateway")
    with LoopbackGateway(home, image_args, ImageDispatcher) as running:
        yield running


@pytest.fixture(autouse=True)
def settings(platform: LoopbackGateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder that has the pictures that the page works on."""
    monkeypatch.setenv("BESTIARY_HOME", str(platform.home))
    monkeypatch.setenv("BESTIARY_PORT", str(platform.port))
    monkeypatch.delenv("BESTIARY_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    Path("cat.png").write_bytes(png(10))
    Path("mask.png").write_bytes(png(200))


def test_the_python_runs(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    for number, block in enumerate(PYTHON):
        exec(compile(block, f"docs/images.md block {number}", "exec"), names)
    said = capsys.readouterr().out
    assert names["able"] == ["tiny-painter"]
    assert "heart-7.png 8 0.25" in said
    assert Path("heart-10.png").read_bytes() == png(10)
    assert "step 1 of 4 (preview)" in said


@pytest.mark.parametrize("curl", CURLS)
def test_every_curl_is_answered(platform: LoopbackGateway, curl: str) -> None:
    done = subprocess.run(
        ["bash", "-ec", curl],
        env={"PATH": "/usr/bin:/bin", "KEY": platform.key, "URL": platform.url},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    if '"stream": true' in curl:
        assert done.stdout.endswith("data: [DONE]\n\n")
    else:
        assert json.loads(done.stdout)["data"]


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_runs(line: str) -> None:
    done = CliRunner().invoke(app, shlex.split(line)[1:])
    assert done.exit_code == 0, done.exception
    assert done.stdout.strip()


def test_every_task_and_command_is_on_the_page() -> None:
    asked, typed, methods = "\n".join(CURLS), "\n".join(COMMANDS), "\n".join(PYTHON)
    described = (DOCS / "api" / "images.md").read_text()
    for path in (*(task.path for task in DRAW_TASKS), *(task.path for task in ASK_TASKS)):
        assert f"$URL/v1/images{path} " in asked
        assert f"client.images.{path[1:].replace('-', '_')}(" in methods
        assert f"`POST /v1/images{path}`" in described
    for command in image.app.registered_commands:
        assert f"bestiary image {command.name} " in typed
