"""The one place where an error becomes a status and a body, per dialect.

    status  OpenAI type            Google status        errors
    400     invalid_request_error  INVALID_ARGUMENT     InvalidRequest and its other subclasses
    413*    invalid_request_error  INVALID_ARGUMENT*    BodyTooLarge (*Google says 400)
    401     authentication_error   UNAUTHENTICATED      Unauthenticated
    403     permission_error       PERMISSION_DENIED    PermissionDenied
    404     invalid_request_error  NOT_FOUND            NotFound, ModelNotFound, CardNotInstalled
    405*    invalid_request_error  NOT_FOUND*           MethodNotAllowed (*Google says 404)
    409     invalid_request_error  ALREADY_EXISTS       Conflict
    429     rate_limit_error       RESOURCE_EXHAUSTED   RateLimited, Overloaded
    503     server_error           UNAVAILABLE          Unavailable, ReplicaLost
    504     server_error           DEADLINE_EXCEEDED    DeadlineExceeded
    500     server_error           INTERNAL             everything else

OpenAI's codes: https://platform.openai.com/docs/guides/error-codes. Google's:
https://cloud.google.com/apis/design/errors; `details[0].reason` carries our code.
A 500 tells nothing of its cause: that is in the log, under the request id.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import orjson

from bestiary.errors import (
    BestiaryError,
    BodyTooLarge,
    Conflict,
    DeadlineExceeded,
    InvalidRequest,
    NotFound,
    Overloaded,
    PermissionDenied,
    RateLimited,
    Retryable,
    Unauthenticated,
)


@dataclass(frozen=True, slots=True)
class Kind:
    """One row of the table above."""

    status: int
    openai_type: str
    google_status: str


_INTERNAL = Kind(500, "server_error", "INTERNAL")
# A class counts for its subclasses, unless they have a row of their own.
_KINDS: dict[type[BestiaryError], Kind] = {
    BestiaryError: _INTERNAL,
    InvalidRequest: Kind(400, "invalid_request_error", "INVALID_ARGUMENT"),
    BodyTooLarge: Kind(413, "invalid_request_error", "INVALID_ARGUMENT"),
    Unauthenticated: Kind(401, "authentication_error", "UNAUTHENTICATED"),
    PermissionDenied: Kind(403, "permission_error", "PERMISSION_DENIED"),
    NotFound: Kind(404, "invalid_request_error", "NOT_FOUND"),
    Conflict: Kind(409, "invalid_request_error", "ALREADY_EXISTS"),
    RateLimited: Kind(429, "rate_limit_error", "RESOURCE_EXHAUSTED"),
    Overloaded: Kind(429, "rate_limit_error", "RESOURCE_EXHAUSTED"),
    Retryable: Kind(503, "server_error", "UNAVAILABLE"),
    DeadlineExceeded: Kind(504, "server_error", "DEADLINE_EXCEEDED"),
}


class MethodNotAllowed(BestiaryError):
    """The path is there, the method is not. Only the gateway knows of methods."""

    code = "method_not_allowed"


_KINDS[MethodNotAllowed] = Kind(405, "invalid_request_error", "NOT_FOUND")
# google.rpc.Code has one HTTP status each; where ours is finer, its own counts.
_GOOGLE_STATUS = {"INVALID_ARGUMENT": 400, "NOT_FOUND": 404}


@dataclass(frozen=True, slots=True)
class PublicError:
    """What a caller may know of an error."""

    kind: Kind
    message: str
    code: str
    param: str | None
    retry_after_s: float | None


class ErrorStyle(Protocol):
    """How one dialect writes an error."""

    def status(self, error: PublicError) -> int: ...

    def body(self, error: PublicError) -> bytes: ...


def public(error: BestiaryError, request_id: str) -> PublicError:
    kind = next(_KINDS[cls] for cls in type(error).__mro__ if cls in _KINDS)
    message = str(error)
    if kind is _INTERNAL:
        message = (
            "The platform failed while it worked on this request. The same call may work "
            f"when it is sent again; if not, tell the operator the request id {request_id}."
        )
    return PublicError(
        kind=kind,
        message=message,
        code=error.code,
        param=error.param if isinstance(error, InvalidRequest) else None,
        retry_after_s=error.retry_after_s if isinstance(error, Retryable) else None,
    )


def is_internal(error: BestiaryError) -> bool:
    """Whether its text stays with the operator."""
    return public(error, "").kind is _INTERNAL


def error_headers(error: PublicError) -> dict[str, str]:
    """`Retry-After` in whole seconds (RFC 9110, 10.2.3), and in milliseconds for OpenAI's SDKs."""
    headers: dict[str, str] = {}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after_s)))
        headers["retry-after-ms"] = str(max(1, math.ceil(error.retry_after_s * 1e3)))
    if error.kind.status == 401:
        headers["www-authenticate"] = "Bearer"
    return headers


class OpenAIErrors:
    """`{"error": {message, type, param, code}}`."""

    def status(self, error: PublicError) -> int:
        return error.kind.status

    def body(self, error: PublicError) -> bytes:
        return orjson.dumps(
            {
                "error": {
                    "message": error.message,
                    "type": error.kind.openai_type,
                    "param": error.param,
                    "code": error.code,
                }
            }
        )


class GoogleErrors:
    """`{"error": {code, message, status, details}}`; code and HTTP status agree."""

    def status(self, error: PublicError) -> int:
        return _GOOGLE_STATUS.get(error.kind.google_status, error.kind.status)

    def body(self, error: PublicError) -> bytes:
        metadata = {"param": error.param} if error.param else {}
        return orjson.dumps(
            {
                "error": {
                    "code": self.status(error),
                    "message": error.message,
                    "status": error.kind.google_status,
                    "details": [
                        {
                            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                            "reason": error.code.upper(),
                            "domain": "bestiary",
                            "metadata": metadata,
                        }
                    ],
                }
            }
        )
