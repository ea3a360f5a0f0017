"""Every error that this client raises, as one tree.

BestiaryError
├── ConfigurationError        the client itself is set up wrong
├── ConnectionFailed          no connection, or it broke before the reply began
├── TimedOut                  a timeout of this client passed
├── UnexpectedReply           what answered does not speak this API
├── StreamBroken              a stream failed midway; what came so far was delivered
└── ApiError                  the platform said no
    ├── BadRequest            400, 413, 422: the same call will fail again
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

`str()` of each is one line: what happened, what to do about it, and the request id.
"""

from __future__ import annotations


class BestiaryError(Exception):
    """`request_id` is what the operator finds the request by, where the platform gave one."""

    _remedy = ""

    def __init__(self, message: str, request_id: str | None = None, *fields: object) -> None:
        super().__init__(message, request_id, *fields)  # all of them: errors must pickle
        self.message = " ".join(message.split())
        self.request_id = request_id

    @property
    def remedy(self) -> str:
        """What the caller can do; empty where the message says it all."""
        return self._remedy

    def __str__(self) -> str:
        line = f"{self.message.rstrip('.')}. {self.remedy}" if self.remedy else self.message
        return f"{line} (request {self.request_id})" if self.request_id else line


class ConfigurationError(BestiaryError):
    """Nothing was sent."""


class ConnectionFailed(BestiaryError):
    """Nothing answered."""

    _remedy = (
        "Is the platform running? `bestiary up` starts it; BESTIARY_URL or base_url= "
        "says where it is."
    )


class TimedOut(BestiaryError):
    """One of `Timeout`'s limits."""

    _remedy = "Ask for less, or wait longer with timeout=."


class UnexpectedReply(BestiaryError):
    """Not what this API says."""

    _remedy = "Is the URL right, and is a proxy in between?"


class StreamBroken(BestiaryError):
    """Never retried: the text so far was delivered, and is in the stream's `text`.

    `code` is the platform's where it said why (its ApiError is the `__cause__`), else None.
    """

    _remedy = "The text up to here was delivered; send the request again for a whole one."

    def __init__(
        self, message: str, request_id: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message, request_id, code)
        self.code = code


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


class BadRequest(ApiError):
    """`param` names the field."""

    @property
    def remedy(self) -> str:
        told = self.param is None or self.param in self.message
        return self._remedy if told else f"Mend {self.param!r}."


class ContextOverflow(BadRequest):
    """The prompt is too long, or too many tokens were asked for."""

    @property
    def remedy(self) -> str:
        return "Shorten the prompt, or lower max_tokens."


class Unauthenticated(ApiError):
    """No key, or one that is unknown or revoked."""

    _remedy = "Give api_key= or set BESTIARY_API_KEY; `bestiary keys create NAME` makes a key."


class PermissionDenied(ApiError):
    """The key lacks the scope."""

    _remedy = "Ask the operator for a key with that scope."


class NotFound(ApiError):
    """No such thing."""


class ModelNotFound(NotFound):
    """No such model, or its weights are not installed."""

    _remedy = "client.models.list() names what there is."


class Conflict(ApiError):
    """The thing exists already, or is in another state."""


class RateLimited(ApiError):
    """Come back after `retry_after` seconds."""

    @property
    def remedy(self) -> str:
        return _try_again(self.retry_after)


class Overloaded(RateLimited):
    """Come back after `retry_after` seconds."""


class DeadlineExceeded(ApiError):
    """The platform's deadline for this request passed."""

    _remedy = "Ask for fewer tokens, or wait longer with timeout=."


class ServerError(ApiError):
    """The platform failed."""

    _remedy = "Should it happen again, tell the operator."


class Unavailable(ServerError):
    """Nothing can answer now."""

    @property
    def remedy(self) -> str:
        return _try_again(self.retry_after)


def _try_again(retry_after: float | None) -> str:
    return "Try again later." if retry_after is None else f"Try again in {retry_after:g} s."


_BY_CODE: dict[str, type[ApiError]] = {
    "context_length_exceeded": ContextOverflow,
    "model_not_found": ModelNotFound,
    "model_not_installed": ModelNotFound,
    "overloaded": Overloaded,
    # Inside a stream there is only the code.
    "invalid_request": BadRequest,
    "rate_limit_exceeded": RateLimited,
    "deadline_exceeded": DeadlineExceeded,
    "replica_lost": Unavailable,
    "unavailable": Unavailable,
}
_BY_STATUS: dict[int, type[ApiError]] = {
    400: BadRequest,
    401: Unauthenticated,
    403: PermissionDenied,
    404: NotFound,
    408: DeadlineExceeded,
    409: Conflict,
    413: BadRequest,
    422: BadRequest,
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
