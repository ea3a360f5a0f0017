"""Reads training files where it holds nobody up: large ones in a process of their own.

Reading holds Python's lock, and a gateway that waits for it answers nobody; what a hostile file
does to its reader, it does to that process alone. It runs with the lowest claim on the CPUs.

    python -m services.tuning.apart check|measure    task as JSON in, outcome as JSON out
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import PurePath
from typing import Generic, TypeVar

from bestiary.errors import DeadlineExceeded, EngineFailure, InvalidRequest
from bestiary.schemas.base import Frozen
from services.tuning.measuring import (
    Checked,
    Checking,
    File,
    Measured,
    Measuring,
    check,
    measure,
)

DEADLINE_S = 540.0  # within the gateway's own for a request
SMALL_BYTES = 256 * 1024
PLAIN = (".jsonl", ".ndjson", ".json", ".txt")  # others import what takes seconds and memory
NICENESS = 19
R = TypeVar("R", bound=Frozen)


class Outcome(Frozen, Generic[R]):
    """One of the two. `refusal` is an InvalidRequest's message."""

    result: R | None = None
    refusal: str | None = None


def checked(task: Checking) -> Checked:
    """Raises DeadlineExceeded, EngineFailure."""
    if _small(task.file):
        return check(task)
    return _apart("check", task, Outcome[Checked])


def measured(task: Measuring) -> Measured:
    """Raises InvalidRequest, DeadlineExceeded, EngineFailure."""
    files = (task.training, *(() if task.validation is None else (task.validation,)))
    if all(map(_small, files)):
        return measure(task)
    return _apart("measure", task, Outcome[Measured])


def _small(file: File) -> bool:
    plain = PurePath(file.filename).suffix.lower() in PLAIN
    return plain and file.path.stat().st_size <= SMALL_BYTES


def _apart(name: str, task: Frozen, outcome: type[Outcome[R]]) -> R:
    command = [sys.executable, "-m", __name__, name]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(  # noqa: S603  our own module, nothing of the caller's
            command,
            input=task.model_dump_json().encode(),
            env=environment,
            capture_output=True,
            timeout=DEADLINE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DeadlineExceeded(
            f"the training file was not read within {DEADLINE_S:.0f} s: send less of it"
        ) from error
    if done.returncode != 0:
        last = done.stderr.decode("utf-8", "replace")[-2000:]
        raise EngineFailure(f"reading a training file ended with {done.returncode}: {last}")
    found = outcome.model_validate_json(done.stdout)
    if found.result is None:
        raise InvalidRequest(found.refusal or "the file cannot be read", "training_file")
    return found.result


def main(name: str, task: bytes) -> str:
    os.nice(NICENESS)
    if name == "check":
        return _told(Outcome[Checked], lambda: check(Checking.model_validate_json(task)))
    return _told(Outcome[Measured], lambda: measure(Measuring.model_validate_json(task)))


def _told(outcome: type[Outcome[R]], run: Callable[[], R]) -> str:
    try:
        return outcome(result=run()).model_dump_json()
    except InvalidRequest as error:
        return outcome(refusal=str(error)).model_dump_json()


if __name__ == "__main__":
    sys.stdout.write(main(sys.argv[1], sys.stdin.buffer.read()))
