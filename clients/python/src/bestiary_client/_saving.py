"""A reply's body -> a file on disk that is there when it is whole, and not before."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from bestiary_client._exchange import failure_in_reply
from bestiary_client._timeouts import Budget
from bestiary_client._uploads import OnProgress


@contextmanager
def saving(
    path: Path, response: httpx2.Response, budget: Budget, on_progress: OnProgress | None
) -> Iterator[Callable[[bytes], None]]:
    """What to call with each piece. Raises StreamBroken, TimedOut, OSError and leaves no file."""
    request_id = response.headers.get("x-request-id")
    length = response.headers.get("content-length", "")
    total = int(length) if length.isdigit() else None
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    done = 0
    try:
        with partial.open("wb") as file:

            def write(piece: bytes) -> None:
                nonlocal done
                file.write(piece)
                done += len(piece)
                budget.check(request_id)
                if on_progress is not None:
                    on_progress(done, total)

            try:
                yield write
            except httpx2.RequestError as error:
                raise failure_in_reply(error, request_id) from error
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
