"""The house rules that import-linter cannot express."""

from __future__ import annotations

import ast
import copy
import inspect
import pickle
from pathlib import Path

import pytest

from bestiary.errors import BestiaryError, every_error

CHECKOUT = Path(__file__).resolve().parents[3]
ROOMS = ("bestiary", "services", "deployments")
MAY_KNOW_SERVE = ("app.py", "deployment.py", "request_router.py")


def modules() -> list[Path]:
    return [path for room in ROOMS for path in sorted((CHECKOUT / room).rglob("*.py"))]


def imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    names = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_only_apps_deployments_and_the_command_line_import_ray_serve():
    offenders = [
        str(path.relative_to(CHECKOUT))
        for path in modules()
        if path.name not in MAY_KNOW_SERVE
        and "cli" not in path.parts
        and any(name.startswith("ray.serve") for name in imported(path))
    ]
    assert offenders == []


def test_no_type_checking_escapes():
    assert [str(path) for path in modules() if "TYPE_CHECKING" in path.read_text()] == []


@pytest.mark.parametrize("error", every_error(), ids=lambda error: error.__name__)
def test_every_error_survives_a_process_border(error: type[BestiaryError]):
    given = {str: "text", float: 2.5, int: 3, tuple: ("a",)}
    fields = list(inspect.signature(error).parameters.values())
    values = (
        []
        if fields[-1].kind is fields[-1].VAR_POSITIONAL
        else [
            given[type(field.default)]
            if field.default not in (None, inspect.Parameter.empty)
            else "text"
            for field in fields
        ]
    )
    made = error(*(values or ["text"]))
    for copied in (pickle.loads(pickle.dumps(made)), copy.copy(made)):
        assert type(copied) is error
        assert copied.args == made.args
        assert vars(copied) == vars(made)
        assert str(copied) == str(made)


def test_codes_of_errors_are_stable_words():
    for error in every_error():
        assert error.code.replace("_", "").isalpha()


@pytest.mark.parametrize("path", [p for p in modules() if p.name == "__init__.py"], ids=str)
def test_public_surfaces_are_sorted(path: Path):
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            names = ast.literal_eval(node.value)
            assert names == sorted(names)
