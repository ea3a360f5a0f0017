"""The client of a Bestiary platform. Stands alone: it knows the HTTP wire, nothing of the server.

from bestiary_client import Bestiary

with Bestiary() as client:
    print(client.chat("Why is the sky blue?", model="gecko").text)
"""

from bestiary_client._async_client import AsyncBestiary
from bestiary_client._async_streaming import AsyncTextStream
from bestiary_client._client import Bestiary
from bestiary_client._errors import (
    ApiError,
    BadRequest,
    BestiaryError,
    ConfigurationError,
    Conflict,
    ConnectionFailed,
    ContextOverflow,
    DeadlineExceeded,
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
from bestiary_client._receipts import LatencyReceipt
from bestiary_client._requests import (
    ChatOptions,
    CompleteOptions,
    Message,
    RoutingOptions,
    TextOptions,
)
from bestiary_client._results import (
    Choice,
    ChoiceEnd,
    Completion,
    Embeddings,
    LikelyToken,
    Model,
    StreamEvent,
    TextDelta,
    TokenCount,
    TokenLogprob,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from bestiary_client._streaming import TextStream
from bestiary_client._timeouts import Timeout
from bestiary_client._tools import ResponseFormat, Tool, ToolChoice

__all__ = [
    "ApiError",
    "AsyncBestiary",
    "AsyncPages",
    "AsyncTextStream",
    "BadRequest",
    "Bestiary",
    "BestiaryError",
    "ChatOptions",
    "Choice",
    "ChoiceEnd",
    "CompleteOptions",
    "Completion",
    "ConfigurationError",
    "Conflict",
    "ConnectionFailed",
    "ContextOverflow",
    "DeadlineExceeded",
    "Embeddings",
    "LatencyReceipt",
    "LikelyToken",
    "Message",
    "Model",
    "ModelNotFound",
    "NotFound",
    "Overloaded",
    "Pages",
    "PermissionDenied",
    "RateLimited",
    "ResponseFormat",
    "RoutingOptions",
    "ServerError",
    "StreamBroken",
    "StreamEvent",
    "TextDelta",
    "TextOptions",
    "TextStream",
    "TimedOut",
    "Timeout",
    "TokenCount",
    "TokenLogprob",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "ToolChoice",
    "Unauthenticated",
    "Unavailable",
    "UnexpectedReply",
    "Usage",
]
