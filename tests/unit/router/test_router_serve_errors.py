"""Ray's errors become ours, and nothing of Ray's text gets through."""

from __future__ import annotations

import asyncio
import pickle
import re

import pytest
from real_ray_errors import DeploymentID, ray_errors
from real_ray_errors import serve_errors as serve_errors_of_ray

from bestiary.errors import (
    BestiaryError,
    ContextOverflow,
    DeadlineExceeded,
    EngineFailure,
    Overloaded,
    ReplicaLost,
    Unavailable,
)
from services.router.serve_errors import TRANSLATIONS, translate, translated

PRIVATE = re.compile(r"pid|\d+\.\d+\.\d+\.\d+|[0-9a-f]{16}|/home|Traceback|ip=")


def task_error(cause: Exception) -> ray_errors.RayTaskError:
    return ray_errors.RayTaskError(
        "generate", "Traceback ... /home/x.py", cause, "ray::Model", 4711, "10.1.2.3"
    )


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (serve_errors_of_ray.BackPressureError(2, 2, 429, 3.0), Overloaded),
        (serve_errors_of_ray.DeploymentUnavailableError(DeploymentID("M", "a")), Unavailable),
        (serve_errors_of_ray.ReplicaUnavailableError("a#b#0123456789abcdef"), ReplicaLost),
        (serve_errors_of_ray.RequestCancelledError("0123456789abcdef"), DeadlineExceeded),
        (serve_errors_of_ray.RayServeException("Application 'x' does not exist."), Unavailable),
        (ray_errors.ActorDiedError(), ReplicaLost),
        (ray_errors.ActorUnavailableError("Actor is unavailable.", b"0" * 16), ReplicaLost),
        (ray_errors.WorkerCrashedError(), ReplicaLost),
        (ray_errors.OutOfMemoryError("10.1.2.3 used 9 GiB"), ReplicaLost),
        (ray_errors.TaskCancelledError(error_message="pid=4711"), DeadlineExceeded),
        (ray_errors.GetTimeoutError("10.1.2.3"), DeadlineExceeded),
        (ray_errors.RaySystemError("pid=4711"), EngineFailure),
        (TimeoutError("10.1.2.3"), DeadlineExceeded),
        (asyncio.CancelledError(), DeadlineExceeded),
        (ValueError("secret of pid=4711 at 10.1.2.3"), EngineFailure),
        (task_error(ValueError("10.1.2.3")), EngineFailure),
        (task_error(ValueError("10.1.2.3")).as_instanceof_cause(), EngineFailure),
        (task_error(task_error(ray_errors.ActorDiedError())), ReplicaLost),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else type(value).__name__,
)
def test_each_becomes_one_of_ours_with_a_clean_text(
    error: BaseException, expected: type[BestiaryError]
) -> None:
    shown = translate(error)
    assert type(shown) is expected
    assert not PRIVATE.search(str(shown))


@pytest.mark.parametrize("dual", [False, True])
def test_our_own_error_comes_back_as_it_was_raised(dual: bool) -> None:
    raised = ContextOverflow("too long", "messages", 9, 8)
    wrapped = task_error(raised)
    shown = translate(wrapped.as_instanceof_cause() if dual else wrapped)
    assert type(shown) is ContextOverflow
    assert (str(shown), shown.prompt_tokens) == ("too long", 9)


def test_back_pressure_keeps_its_retry_after() -> None:
    shown = translate(
        pickle.loads(pickle.dumps(serve_errors_of_ray.BackPressureError(2, 2, 429, 3.0)))
    )
    assert isinstance(shown, Overloaded)
    assert shown.retry_after_s == 3.0


@pytest.mark.parametrize("name", [name for name in TRANSLATIONS if name.startswith("ray.")])
def test_every_name_is_one_of_the_installed_ray(name: str) -> None:
    module, _, cls = name.rpartition(".")
    there = {"ray.exceptions": ray_errors, "ray.serve.exceptions": serve_errors_of_ray}[module]
    assert getattr(there, cls).__module__ == module


def test_grpc_name_is_one_of_the_installed_grpc() -> None:
    from grpc.aio import AioRpcError

    assert f"{AioRpcError.__module__}.{AioRpcError.__qualname__}" in TRANSLATIONS


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("UNAVAILABLE", ReplicaLost),
        ("CANCELLED", ReplicaLost),
        ("DEADLINE_EXCEEDED", DeadlineExceeded),
        ("RESOURCE_EXHAUSTED", EngineFailure),
        ("INTERNAL", EngineFailure),
    ],
)
def test_grpc_codes(code: str, expected: type[BestiaryError]) -> None:
    import grpc
    from grpc.aio import AioRpcError, Metadata

    error = AioRpcError(grpc.StatusCode[code], Metadata(), Metadata(), details="ipv4:10.1.2.3:80")
    shown = translate(error)
    assert type(shown) is expected
    assert not PRIVATE.search(str(shown))


async def test_our_own_cancellation_passes() -> None:
    async def waits() -> None:
        with translated():
            await asyncio.sleep(60)

    task = asyncio.create_task(waits())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_by_the_replica_is_an_error() -> None:
    with pytest.raises(DeadlineExceeded), translated():
        raise asyncio.CancelledError
