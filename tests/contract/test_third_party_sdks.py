"""Unmodified SDKs of others against the gateway: each runs a script of checks of its own.

The same scripts run against a live platform: give them its URL and a key.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MODELS = {"openai_client_check.py": ["--embedding-model", "embedding-gecko-001"]}


@pytest.mark.parametrize(
    ("requirement", "script"),
    [
        ("openai==3.54.0", "openai_client_check.py"),
        ("google-generativeai==0.8.6", "palm_client_check.py"),
        ("openai==3.54.0", "openai_images_check.py"),
    ],
)
def test_every_check_of_the_sdk_passes(sdk_python, gateway, requirement, script):
    run_checks(sdk_python(requirement), script, gateway)


def test_every_check_of_fine_tuning_passes(sdk_python, tuning_gateway):
    run_checks(sdk_python("openai==3.54.0"), "openai_tuning_check.py", tuning_gateway)


def run_checks(python: Path, script: str, gateway) -> None:
    command = [python, HERE / script, "--base-url", gateway.url]
    command += ["--key", gateway.key, *MODELS.get(script, [])]

    done = subprocess.run(command, capture_output=True, text=True, timeout=300)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 failed" in done.stdout
