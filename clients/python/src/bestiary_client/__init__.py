"""The client of a Bestiary platform. Stands alone: it knows the HTTP wire, nothing of the server.

from bestiary_client import Bestiary

with Bestiary() as client:
    print(client.chat("Why is the sky blue?", model="gecko").text)
"""

from bestiary_client._async_client import AsyncBestiary
from bestiary_client._async_rewrite_streaming import AsyncRewriteStream
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
from bestiary_client._heat import HEAT_LEGEND
from bestiary_client._pages import AsyncPages, Pages
from bestiary_client._receipts import LatencyReceipt
from bestiary_client._requests import (
    ChatOptions,
    CompleteOptions,
    Message,
    Pooling,
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
from bestiary_client._rewrite_streaming import RewriteStream
from bestiary_client._streaming import TextStream
from bestiary_client._task_requests import RewriteOptions, TaskOptions, TranslateOptions
from bestiary_client._task_results import (
    Classification,
    CrossAttention,
    Explanation,
    FilledMask,
    LabelScore,
    MaskCandidate,
    NextSentence,
    RankedDocument,
    Results,
    RewriteDelta,
    RewriteEnd,
    RewriteEvent,
    Rewriting,
    Similarity,
    Span,
    TokenSpans,
    TokenVectors,
)
from bestiary_client._timeouts import Timeout
from bestiary_client._tools import ResponseFormat, Tool, ToolChoice

__all__ = [
    "ApiError",
    "AsyncBestiary",
    "AsyncPages",
    "AsyncRewriteStream",
    "AsyncTextStream",
    "BadRequest",
    "Bestiary",
    "BestiaryError",
    "ChatOptions",
    "Choice",
    "ChoiceEnd",
    "Classification",
    "CompleteOptions",
    "Completion",
    "ConfigurationError",
    "Conflict",
    "ConnectionFailed",
    "ContextOverflow",
    "CrossAttention",
    "DeadlineExceeded",
    "Embeddings",
    "Explanation",
    "FilledMask",
    "HEAT_LEGEND",
    "LabelScore",
    "LatencyReceipt",
    "LikelyToken",
    "MaskCandidate",
    "Message",
    "Model",
    "ModelNotFound",
    "NextSentence",
    "NotFound",
    "Overloaded",
    "Pages",
    "PermissionDenied",
    "Pooling",
    "RankedDocument",
    "RateLimited",
    "ResponseFormat",
    "Results",
    "RewriteDelta",
    "RewriteEnd",
    "RewriteEvent",
    "RewriteOptions",
    "RewriteStream",
    "Rewriting",
    "RoutingOptions",
    "ServerError",
    "Similarity",
    "Span",
    "StreamBroken",
    "StreamEvent",
    "TaskOptions",
    "TextDelta",
    "TextOptions",
    "TextStream",
    "TimedOut",
    "Timeout",
    "TokenCount",
    "TokenLogprob",
    "TokenSpans",
    "TokenVectors",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "ToolChoice",
    "TranslateOptions",
    "Unauthenticated",
    "Unavailable",
    "UnexpectedReply",
    "Usage",
]
