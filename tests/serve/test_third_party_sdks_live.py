"""Unmodified SDKs of others against the running platform and its real models."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.serve

CHECKS = Path(__file__).parents[1] / "contract"


@pytest.mark.parametrize(
    ("requirement", "script"),
    [
        ("openai==3.54.0", "openai_client_check.py"),
        ("google-generativeai==0.8.6", "palm_client_check.py"),
    ],
)
def test_every_check_of_the_sdk_passes_on_real_models(sdk_python, platform, requirement, script):
    command = [sdk_python(requirement), CHECKS / script]
    command += ["--base-url", platform.url, "--key", platform.key]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 failed" in done.stdout
