"""A user's own checkpoint answers a tier of the running platform, and leaves it again."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, PreTrainedModel

pytestmark = pytest.mark.serve

DEPLOYED_WITHIN_S = 60.0
LAYERS = 4


def answered_by(platform) -> str:
    reply = platform.chat("Hi", model="bison", max_tokens=2)
    assert reply.status_code == 200, reply.text  # at every moment of the change
    return reply.headers["x-bestiary-model"]


def wait_until_answered_by(platform, model: str) -> None:
    deadline = time.monotonic() + DEPLOYED_WITHIN_S
    while answered_by(platform) != model:
        assert time.monotonic() < deadline, f"bison is still not answered by {model}"
        time.sleep(0.2)


def few_layers(folder: Path) -> PreTrainedModel:
    """The first layers of a model: it is built and certified in seconds, not in minutes."""
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.model.layers = model.model.layers[:LAYERS]
    model.config.num_hidden_layers = LAYERS
    return model


def test_a_model_is_added_to_a_tier_and_removed_again(platform, installed_home, tmp_path):
    installed = installed_home / "models" / "smollm2-135m-instruct"
    (folder,) = (path for path in installed.iterdir() if path.is_dir())
    own = shutil.copytree(folder, tmp_path / "own")
    few_layers(folder).save_pretrained(own)

    added = platform.command("models", "add", str(own), "--tier", "bison", "--id", "my-own")
    assert added.returncode == 0, added.stderr
    wait_until_answered_by(platform, "my-own")

    removed = platform.command("models", "remove", "my-own")
    assert removed.returncode == 0, removed.stderr
    wait_until_answered_by(platform, "smollm2-135m-instruct")
