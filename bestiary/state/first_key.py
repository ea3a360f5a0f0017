"""The first key of a laptop: in a file of mode 600, so that `bestiary chat` just works."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from bestiary.state.keys import Keys, KeyScope


def ensure_first_key(keys: Keys, path: Path) -> str:
    """The secret in `path`, which is made where it is missing, unknown or revoked."""
    if path.exists():
        secret = path.read_text(encoding="utf-8").strip()
        if keys.verify(secret) is not None:
            return secret
    made = keys.create("first key", scopes=tuple(KeyScope))
    _write_private(path, made.secret)
    return made.secret


def _write_private(path: Path, secret: str) -> None:
    """Atomic, and never readable by others, not even for a moment (mkstemp makes mode 600)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".key-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(secret + "\n")
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
