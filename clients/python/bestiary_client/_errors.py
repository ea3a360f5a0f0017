"""Every error that this client raises, as one tree.

BestiaryError
├── ConfigurationError        the client itself is set up wrong
├── ConnectionFailed          no connection, or it broke before the reply began
├── TimedOut                  a timeout of this client passed
├── UnexpectedReply           what answered does not speak this API
├── StreamBroken              a stream ended before its end; what came so far was delivered
└── ApiError                  the platform said no
    ├── InvalidRequest        400, 413, 422: the same call will fail again
    │   └── ContextOverflow   prompt and completion do not fit the model's context
    ├── Unauthenticated       401
    ├── PermissionDenied      403
    ├── NotFound              404
    │   └── ModelNotFound
    ├── Conflict              409
    ├── RateLimited           429, the key's own limit; see `retry_after`
    │   └── Overloaded        429, the platform's limit
    ├── DeadlineExceeded      408, 504
    └── ServerError           500 and the rest
        └── Unavailable       502, 503; see `retry_after`
"""

from __future__ import annotations


class BestiaryError(Exception):
    """`request_id` is what the operator finds the request by, where the platform gave one."""

    def __init__(self, message: str, request_id: str | None = None, *fields: object) -> None:
        super().__init__(message, request_id, *fields)  # all of them: errors must pickle
        self.message = message
        self.request_id = request_id

    def __str__(self) -> str:
        return f"{self.message} (request {self.request_id})" if self.request_id else self.message


class ConfigurationError(BestiaryError):
    """Nothing was sent."""


class ConnectionFailed(BestiaryError):
    """Nothing answered."""


class TimedOut(BestiaryError):
    """One of `Timeout`'s limits."""


class UnexpectedReply(BestiaryError):
    """Not what this API says. Is the URL right, and a proxy in between?"""


class StreamBroken(BestiaryError):
    """Never retried: the text so far was delivered already."""


class ApiError(BestiaryError):
    """`code` is stable. `status_code` is None where the error came inside a stream."""

    def __init__(
        self,
        message: str,
        request_id: str | None = None,
        status_code: int | None = None,
        code: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, request_id, status_code, code, param, retry_after)
        self.status_code = status_code
        self.code = code
        self.param = param
        self.retry_after = retry_after  # seconds


class InvalidRequest(ApiError):
    """`param` names the field."""


class ContextOverflow(InvalidRequest):
    """Shorten the prompt, or ask for fewer tokens."""


class Unauthenticated(ApiError):
    """No key, or one that is unknown or revoked."""


class PermissionDenied(ApiError):
    """The key lacks the scope."""


class NotFound(ApiError):
    """No such thing."""


class ModelNotFound(NotFound):
    """No such model, or its weights are not installed."""


class Conflict(ApiError):
    """The thing exists already, or is in another state."""


class RateLimited(ApiError):
    """Come back after `retry_after` seconds."""


class Overloaded(RateLimited):
    """Come back after `retry_after` seconds."""


class DeadlineExceeded(ApiError):
    """The platform's deadline for this request passed."""


class ServerError(ApiError):
    """The platform failed."""


class Unavailable(ServerError):
    """Nothing can answer now."""


_BY_CODE: dict[str, type[ApiError]] = {
    "context_length_exceeded": ContextOverflow,
    "model_not_found": ModelNotFound,
    "model_not_installed": ModelNotFound,
    "overloaded": Overloaded,
    # Inside a stream there is only the code.
    "invalid_request": InvalidRequest,
    "rate_limit_exceeded": RateLimited,
    "deadline_exceeded": DeadlineExceeded,
    "replica_lost": Unavailable,
    "unavailable": Unavailable,
}
_BY_STATUS: dict[int, type[ApiError]] = {
    400: InvalidRequest,
    401: Unauthenticated,
    403: PermissionDenied,
    404: NotFound,
    408: DeadlineExceeded,
    409: Conflict,
    413: InvalidRequest,
    422: InvalidRequest,
    429: RateLimited,
    502: Unavailable,
    503: Unavailable,
    504: DeadlineExceeded,
}


def error_class(status_code: int | None, code: str | None) -> type[ApiError]:
    """The code says more than the status. An unknown 4xx is an ApiError, the rest ServerError."""
    if code in _BY_CODE:
        return _BY_CODE[code]
    if status_code in _BY_STATUS:
        return _BY_STATUS[status_code]
    client_side = status_code is not None and 400 <= status_code < 500
    return ApiError if client_side else ServerError
