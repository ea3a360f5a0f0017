"""Every error that a caller can meet, as one tree.

    BestiaryError
    ├── InvalidRequest            the request is wrong; the same call will fail again
    │   ├── ContextOverflow       prompt and completion do not fit the model's context
    │   ├── UnsupportedParameter  a known parameter that does nothing here yet
    │   ├── BadTrainingData       a training file has a line that cannot be trained on
    │   ├── BodyTooLarge          the body is over the gateway's limit
    │   ├── ImageUnreadable       no PNG, JPEG or WebP, or a damaged one
    │   └── ImageTooLarge         a picture is over the limit in pixels or bytes
    ├── Unauthenticated           no key, or one that is unknown or revoked
    ├── PermissionDenied          the key lacks the scope
    ├── NotFound                  no such thing
    │   ├── ModelNotFound         no such model, tier or alias
    │   └── CardNotInstalled      the garden knows the card, its weights are not here
    ├── Conflict                  the thing exists already, or is in another state
    │   └── Superseded            another attempt took the job over: stop, it is not yours
    ├── RateLimited               the key's own limit; retry after `retry_after_s`
    ├── Overloaded                the platform's limit; retry after `retry_after_s`
    ├── Unavailable               nothing can answer now; retry after `retry_after_s`
    │   └── ReplicaLost           the replica died with the request in it
    ├── DeadlineExceeded          the request's deadline passed
    ├── EngineFailure             an engine broke while it ran this request
    ├── GardenError               a card, source or download is bad
    │   ├── CardInvalid
    │   ├── SourceUnavailable
    │   ├── ChecksumMismatch
    │   └── UnsafeArchive
    ├── KernelError               a graph cannot be built or loaded
    └── ProfileInvalid            the profile file is wrong

Errors know nothing of HTTP: `services/gateway/error_mapping.py` gives each a
status per dialect. They cross process borders, so every field is positional and
is passed to `super().__init__` (a test pickles each of them).
"""

from __future__ import annotations


class BestiaryError(Exception):
    """Root of the tree. `code` is stable: clients may match on it."""

    code = "internal"

    def __init__(self, message: str, *fields: object) -> None:
        super().__init__(message, *fields)
        self.message = message

    def __str__(self) -> str:
        return self.message


class InvalidRequest(BestiaryError):
    """`param` names the offending field as the caller wrote it, where one is known."""

    code = "invalid_request"

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message, param)
        self.param = param


class ContextOverflow(InvalidRequest):
    """`prompt_tokens` + `max_tokens` do not fit into `context_length` tokens."""

    code = "context_length_exceeded"

    def __init__(
        self,
        message: str,
        param: str | None = None,
        prompt_tokens: int = 0,
        context_length: int = 0,
    ) -> None:
        BestiaryError.__init__(self, message, param, prompt_tokens, context_length)
        self.param = param
        self.prompt_tokens = prompt_tokens
        self.context_length = context_length


class UnsupportedParameter(InvalidRequest):
    code = "unsupported_parameter"


class BadTrainingData(InvalidRequest):
    """`line` counts from 1; 0 is the file as a whole."""

    code = "invalid_training_file"

    def __init__(self, message: str, param: str | None = "file", line: int = 0) -> None:
        BestiaryError.__init__(self, message, param, line)
        self.param = param
        self.line = line


class BodyTooLarge(InvalidRequest):
    code = "request_too_large"


class ImageUnreadable(InvalidRequest):
    code = "image_unreadable"


class ImageTooLarge(InvalidRequest):
    code = "image_too_large"


class Unauthenticated(BestiaryError):
    code = "invalid_api_key"


class PermissionDenied(BestiaryError):
    code = "permission_denied"


class NotFound(BestiaryError):
    code = "not_found"


class ModelNotFound(NotFound):
    """`model` is the name that was asked for."""

    code = "model_not_found"

    def __init__(self, message: str, model: str = "") -> None:
        super().__init__(message, model)
        self.model = model


class CardNotInstalled(NotFound):
    """`tried` says, source by source, why none gave the weights."""

    code = "model_not_installed"

    def __init__(self, message: str, card: str = "", tried: tuple[str, ...] = ()) -> None:
        super().__init__(message, card, tried)
        self.card = card
        self.tried = tried


class Conflict(BestiaryError):
    code = "conflict"


class Superseded(Conflict):
    code = "superseded"


class Retryable(BestiaryError):
    """The same call may succeed after `retry_after_s` seconds."""

    code = "unavailable"

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message, retry_after_s)
        self.retry_after_s = retry_after_s


class RateLimited(Retryable):
    code = "rate_limit_exceeded"


class Overloaded(Retryable):
    code = "overloaded"


class Unavailable(Retryable):
    code = "unavailable"


class ReplicaLost(Unavailable):
    code = "replica_lost"


class DeadlineExceeded(BestiaryError):
    code = "deadline_exceeded"


class EngineFailure(BestiaryError):
    code = "engine_failure"


class GardenError(BestiaryError):
    code = "garden_error"


class CardInvalid(GardenError):
    code = "card_invalid"


class SourceUnavailable(GardenError):
    code = "source_unavailable"


class ChecksumMismatch(GardenError):
    code = "checksum_mismatch"


class UnsafeArchive(GardenError):
    code = "unsafe_archive"


class KernelError(BestiaryError):
    code = "kernel_error"


class ProfileInvalid(BestiaryError):
    """`where` is `file:line` of the faulty key."""

    code = "profile_invalid"

    def __init__(self, message: str, where: str = "") -> None:
        super().__init__(message, where)
        self.where = where

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


def every_error() -> tuple[type[BestiaryError], ...]:
    """All classes of the tree, root first."""
    found: list[type[BestiaryError]] = [BestiaryError]
    for cls in found:
        found.extend(cls.__subclasses__())
    return tuple(dict.fromkeys(found))
