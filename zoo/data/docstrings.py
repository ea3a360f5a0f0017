"""The docstrings of packages that this project pins, as text. Parsed, never imported.

Each package's own licence holds for its text; all of them are permissive.
"""

from __future__ import annotations

import ast
import hashlib
import json
import sysconfig
from collections.abc import Iterator
from importlib.metadata import metadata, version
from pathlib import Path

from zoo.data.packages import cache_folder

PACKAGES = {  # folder: distribution; all are pinned in pyproject.toml, or what those require
    "alembic": "alembic",
    "click": "click",
    "huggingface_hub": "huggingface_hub",
    "jinja2": "Jinja2",
    "matplotlib": "matplotlib",
    "networkx": "networkx",
    "numpy": "numpy",
    "PIL": "pillow",
    "pydantic": "pydantic",
    "ray": "ray",
    "sqlalchemy": "SQLAlchemy",
    "sympy": "sympy",
    "torch": "torch",
    "transformers": "transformers",
}


def docstrings() -> list[str]:
    """In the order of the files; each text once. Read once per set of versions, then cached."""
    versions = {name: version(name) for name in PACKAGES.values()}
    key = hashlib.sha256(json.dumps(versions, sort_keys=True).encode()).hexdigest()[:16]
    cached = cache_folder() / f"docstrings-{key}.json"
    if not cached.exists():
        packages = Path(sysconfig.get_paths()["purelib"])
        texts = (text for folder in PACKAGES for text in of_folder(packages / folder))
        cached.parent.mkdir(parents=True, exist_ok=True)
        partial = cached.with_suffix(".partial")
        partial.write_text(json.dumps(list(dict.fromkeys(texts))), "utf-8")
        partial.replace(cached)
    found: list[str] = json.loads(cached.read_text("utf-8"))
    return found


def of_folder(folder: Path) -> Iterator[str]:
    """The docstrings of all Python files under it; files that do not parse are left out."""
    for path in sorted(folder.rglob("*.py")):
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):
            continue  # templates and files of other versions
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node)
                if text:
                    yield text


def licences() -> list[str]:
    """`name version (licence)`, as the packages say it themselves."""
    lines = []
    for name in PACKAGES.values():
        said = metadata(name)
        named = [key for key in ("License-Expression", "License") if key in said]
        licence = said[named[0]].splitlines()[0] if named else "see the package"
        lines.append(f"{name} {version(name)} ({licence})")
    return lines
