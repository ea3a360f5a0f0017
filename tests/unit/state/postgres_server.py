"""A real PostgreSQL for tests: data in a temporary folder, reached by a unix socket only."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
# No test survives its server, so nothing needs to reach the disk.
SETTINGS = ("fsync=off", "full_page_writes=off", "shared_buffers=16MB", "listen_addresses=")


def why_not() -> str | None:
    """Why no server can be started here; None where one can."""
    if find_spec("psycopg") is None:
        return "no psycopg here: pip install 'psycopg[binary]'"
    if _binaries() is None:
        return "no PostgreSQL here: apt-get install postgresql"
    if os.getuid() == 0 and _account() is None:
        return "PostgreSQL refuses root, and there is no account 'postgres'"
    return None


@contextmanager
def running() -> Iterator[str]:
    """The URL of an empty database; the server ends with the block."""
    binaries = _binaries()
    assert binaries is not None
    folder = Path(tempfile.mkdtemp(prefix="bst-pg-"))  # short: a socket's path has 107 bytes
    account = _account() if os.getuid() == 0 else None
    if account is not None:
        os.chown(folder, account.pw_uid, account.pw_gid)
    server = None
    try:
        _run([binaries / "initdb", "-D", folder / "data", "-U", "bestiary", "-A", "trust"], account)
        flags = [flag for setting in SETTINGS for flag in ("-c", setting)]
        server = _start(
            [binaries / "postgres", "-D", folder / "data", "-k", folder, *flags], account
        )
        _wait([binaries / "pg_isready", "-q", "-h", folder, "-U", "bestiary"], server)
        yield f"postgresql+psycopg://bestiary@/postgres?host={folder}"
    finally:
        if server is not None:
            server.send_signal(signal.SIGQUIT)  # at once: nothing of it is kept
            server.wait(STOP_TIMEOUT_S)
        shutil.rmtree(folder)


def _binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else None


def _account() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return None


def _start(command: list[str | Path], account: pwd.struct_passwd | None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        user=account.pw_uid if account else None,
        group=account.pw_gid if account else None,
        extra_groups=[] if account else None,
        cwd="/",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _run(command: list[str | Path], account: pwd.struct_passwd | None) -> None:
    if _start(command, account).wait(START_TIMEOUT_S) != 0:
        raise RuntimeError(f"{command[0]} failed")


def _wait(probe: list[str | Path], server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while subprocess.run(probe, check=False).returncode != 0:
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("PostgreSQL did not start")
        time.sleep(0.05)
