"""The client of a Bestiary platform. Stands alone: it knows the HTTP wire, nothing of the server.

from bestiary_client import Bestiary

with Bestiary() as client:
    print(client.chat("Why is the sky blue?", model="gecko").text)
"""

from bestiary_client._async_client import AsyncBestiary
from bestiary_client._async_stream import AsyncTextStream
from bestiary_client._client import Bestiary
from bestiary_client._errors import (
    ApiError,
    BestiaryError,
    ConfigurationError,
    Conflict,
    ConnectionFailed,
    ContextOverflow,
    DeadlineExceeded,
    InvalidRequest,
    ModelNotFound,
    NotFound,
    Overloaded,
    PermissionDenied,
    RateLimited,
    ServerError,
    StreamBroken,
    TimedOut,
    Unauthenticated,
    Unavailable,
    UnexpectedReply,
)
from bestiary_client._pages import AsyncPages, Pages
from bestiary_client._receipt import Receipt
from bestiary_client._requests import Message, TextOptions, Tier
from bestiary_client._results import (
    Candidate,
    CandidateEnd,
    Completion,
    Embeddings,
    Model,
    StreamEnd,
    StreamEvent,
    TextDelta,
    TokenCount,
    Usage,
)
from bestiary_client._stream import TextStream
from bestiary_client._timeouts import Timeout

__all__ = [
    "ApiError",
    "AsyncBestiary",
    "AsyncPages",
    "AsyncTextStream",
    "Bestiary",
    "BestiaryError",
    "Candidate",
    "CandidateEnd",
    "Completion",
    "ConfigurationError",
    "Conflict",
    "ConnectionFailed",
    "ContextOverflow",
    "DeadlineExceeded",
    "Embeddings",
    "InvalidRequest",
    "Message",
    "Model",
    "ModelNotFound",
    "NotFound",
    "Overloaded",
    "Pages",
    "PermissionDenied",
    "RateLimited",
    "Receipt",
    "ServerError",
    "StreamBroken",
    "StreamEnd",
    "StreamEvent",
    "TextDelta",
    "TextOptions",
    "TextStream",
    "Tier",
    "TimedOut",
    "Timeout",
    "TokenCount",
    "Unauthenticated",
    "Unavailable",
    "UnexpectedReply",
    "Usage",
]
