"""Every script of examples/images runs, and saves the picture that it names."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from image_fakes import ImageDispatcher, image_args
from loopback_gateway import LoopbackGateway
from PIL import Image

FOLDER = Path(__file__).parents[3] / "examples" / "images"
PARTS = {"contact_sheet", "drawing"}
OTHERS_SDKS = {"openai_sdk"}  # tests/contract has OpenAI's own environment
SCRIPTS = sorted({file.stem for file in FOLDER.glob("*.py")} - PARTS - OTHERS_SDKS)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackGateway]:
    home = tmp_path_factory.mktemp("gateway")
    with LoopbackGateway(home, image_args, ImageDispatcher) as running:
        yield running


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_example_saves_its_picture(
    platform: LoopbackGateway, script: str, tmp_path: Path
) -> None:
    told = {"BESTIARY_HOME": str(platform.home), "BESTIARY_PORT": str(platform.port)}
    done = subprocess.run(
        [sys.executable, FOLDER / f"{script}.py"],
        env={**os.environ, **told},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{script}.png"
    with Image.open(tmp_path / f"{script}.png") as saved:
        assert saved.width >= 128
