"""Whatever a Serve call raises -> one error of our tree.

Ray's own texts carry pids, addresses and actor ids; none of them passes. Ray's classes
are matched by qualified name along the MRO, so that this file (and every test of the
router) does without Ray; `test_serve_errors.py` holds the names against the installed
Ray. https://docs.ray.io/en/latest/ray-core/api/exceptions.html
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bestiary.errors import (
    BestiaryError,
    DeadlineExceeded,
    EngineFailure,
    Overloaded,
    ReplicaLost,
    Unavailable,
)

REPLACEMENT_RETRY_AFTER_S = 5.0  # Serve needs some seconds to start a replica
MAX_WRAPPINGS = 8  # RayTaskError in RayTaskError: one per hop

_logger = logging.getLogger(__name__)
_LOST = "the replica that ran this request died"
_LATE = "the request's deadline passed"


def _overloaded(error: BaseException) -> BestiaryError:
    retry_after = getattr(error, "retry_after_s", None)
    return Overloaded(
        "the model's queue is full",
        float(retry_after) if isinstance(retry_after, int | float) else 1.0,
    )


def _lost(_: BaseException) -> BestiaryError:
    return ReplicaLost(_LOST, REPLACEMENT_RETRY_AFTER_S)


def _undeployed(_: BaseException) -> BestiaryError:
    return Unavailable("the model's deployment is not running", REPLACEMENT_RETRY_AFTER_S)


def _late(_: BaseException) -> BestiaryError:
    return DeadlineExceeded(_LATE)


def _cancelled(_: BaseException) -> BestiaryError:
    return DeadlineExceeded("the request was cancelled before it was done")


def _transport(error: BaseException) -> BestiaryError:
    """gRPC's code names: https://grpc.github.io/grpc/core/md_doc_statuscodes.html"""
    code = getattr(error, "code", None)
    name = getattr(code() if callable(code) else code, "name", "")
    if name in ("UNAVAILABLE", "CANCELLED"):  # the peer went; our own cancel never gets here
        return _lost(error)
    if name == "RESOURCE_EXHAUSTED":
        return EngineFailure("the message is larger than the transport allows")
    return _late(error) if name == "DEADLINE_EXCEEDED" else _unknown(error)


def _unknown(error: BaseException) -> BestiaryError:
    """Only the class's name: the text may hold anything."""
    kind = type(error).__name__.removeprefix("RayTaskError(").rstrip(")")
    return EngineFailure(f"the model's engine failed on this request ({kind})")


TRANSLATIONS: dict[str, Callable[[BaseException], BestiaryError]] = {
    "ray.serve.exceptions.BackPressureError": _overloaded,
    "ray.serve.exceptions.DeploymentUnavailableError": _undeployed,
    "ray.serve.exceptions.ReplicaUnavailableError": _lost,
    "ray.serve.exceptions.RequestCancelledError": _cancelled,
    "ray.serve.exceptions.RayServeException": _undeployed,  # "Application ... does not exist."
    "ray.exceptions.RayActorError": _lost,  # ActorDiedError, ActorUnavailableError
    "ray.exceptions.WorkerCrashedError": _lost,
    "ray.exceptions.NodeDiedError": _lost,
    "ray.exceptions.LocalRayletDiedError": _lost,
    "ray.exceptions.OutOfMemoryError": _lost,
    "ray.exceptions.ObjectLostError": _lost,
    "ray.exceptions.TaskCancelledError": _cancelled,
    "grpc.aio._call.AioRpcError": _transport,
    "asyncio.exceptions.CancelledError": _cancelled,
    "builtins.TimeoutError": _late,  # asyncio's, and Ray's GetTimeoutError
}


def translate(error: BaseException) -> BestiaryError:
    """The error to show. A `BestiaryError` that a replica raised comes back as it was raised."""
    cause = _innermost(error)
    if isinstance(cause, BestiaryError) and not _is_ray(cause):
        return cause
    for cls in type(cause).__mro__:
        translation = TRANSLATIONS.get(f"{cls.__module__}.{cls.__qualname__}")
        if translation is not None:
            return translation(cause)
    return _unknown(cause)


@contextmanager
def translated() -> Iterator[None]:
    """Around each wait for a replica: what comes out is a `BestiaryError`.

    Passes the end of a stream, and the cancellation of our own task (a deadline of
    `asyncio.timeout` is one); a cancellation by the replica's side is an error as any other.
    """
    try:
        yield
    except (BestiaryError, StopAsyncIteration) as error:
        if _is_ray(error):
            raise translate(error) from None
        raise
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling() > 0:
            raise
        raise translate(error) from None
    except Exception as error:  # Ray raises the user's classes as they are
        shown = translate(error)
        if isinstance(shown, EngineFailure):
            _logger.exception("a replica failed")  # its text stays here
        raise shown from None


def _innermost(error: BaseException) -> BaseException:
    """`RayTaskError.cause`, through every hop; the error itself where it wraps nothing."""
    for _ in range(MAX_WRAPPINGS):
        cause = getattr(error, "cause", None) if _is_ray(error) else None
        if not isinstance(cause, BaseException):
            return error
        error = cause
    return error


def _is_ray(error: BaseException) -> bool:
    """Also Ray's dual classes, which inherit from our error and from `RayTaskError`."""
    return any(cls.__module__ == "ray.exceptions" for cls in type(error).__mro__)
