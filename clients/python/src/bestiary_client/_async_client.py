"""The client for asyncio. Its twin is `_client.py`; what they say is in `_requests.py`."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from urllib.parse import quote

import httpx2
from typing_extensions import Self, Unpack

from bestiary_client import _replies
from bestiary_client._async_canaries import AsyncCanaries
from bestiary_client._async_files import AsyncFiles
from bestiary_client._async_images import AsyncImages
from bestiary_client._async_streaming import AsyncTextStream
from bestiary_client._async_tasks import AsyncTasks
from bestiary_client._async_transport import AsyncTransport
from bestiary_client._async_tuning import AsyncTuning
from bestiary_client._exchange import Answer
from bestiary_client._json import JsonObject, parse_object
from bestiary_client._pages import AsyncPages
from bestiary_client._receipts import LatencyReceipt
from bestiary_client._requests import (
    Call,
    ChatOptions,
    CompleteOptions,
    Message,
    Pooling,
    RoutingOptions,
    chat_call,
    complete_call,
    count_call,
    embed_call,
)
from bestiary_client._results import Completion, Embeddings, Model, TokenCount
from bestiary_client._retries import DEFAULT_MAX_RETRIES, RetryPolicy
from bestiary_client._settings import settings
from bestiary_client._timeouts import Timeout, timeout_of


class AsyncBestiary(AsyncTasks):
    """A platform at `base_url` (else $BESTIARY_URL, else http://127.0.0.1:$BESTIARY_PORT or 8000).

    `api_key` defaults to $BESTIARY_API_KEY, and on this machine to the key that
    `bestiary up` wrote. `timeout` is in seconds, or a `Timeout`. 408, 429, 502, 503, 504 and
    failed connections are tried again up to `max_retries` times. May be shared by the tasks
    of one event loop; close it, or use it in an `async with`. `http_client` brings your own
    proxies and certificates; it is closed with this client.
    """

    def __init__(
        self,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout: float | Timeout | None = None,
        max_retries: int = DEFAULT_MAX_RETRIES,
        http_client: httpx2.AsyncClient | None = None,
    ) -> None:
        found = settings(base_url, api_key)
        # A proxy has no business between a machine and itself.
        client = http_client or httpx2.AsyncClient(trust_env=not found.loopback)
        wait = Timeout() if timeout is None else timeout_of(timeout)
        self._transport = AsyncTransport(client, found, wait, RetryPolicy(max_retries))
        self.models = AsyncModels(self._transport)
        self.images = AsyncImages(self._transport)
        self.files = AsyncFiles(self._transport)
        self.tuning = AsyncTuning(self._transport, self.files)
        self.canaries = AsyncCanaries(self._transport)

    @property
    def last_receipt(self) -> LatencyReceipt | None:
        """Of this task's last finished call; each result carries its own too."""
        return self._transport.last_receipt.get()

    async def chat(
        self, messages: str | Sequence[Message], **options: Unpack[ChatOptions]
    ) -> Completion:
        """Answers a conversation; a plain string is one message of the user."""
        return await self._completion(chat_call(messages, options, stream=False))

    async def complete(
        self, prompt: str | Sequence[str], **options: Unpack[CompleteOptions]
    ) -> Completion:
        """Continues one prompt or several; choices are numbered prompt by prompt."""
        return await self._completion(complete_call(prompt, options, stream=False))

    def stream_chat(
        self, messages: str | Sequence[Message], **options: Unpack[ChatOptions]
    ) -> AsyncTextStream:
        """As `chat`, in pieces as they come. Use it in an `async with`."""
        return self._stream(chat_call(messages, options, stream=True))

    def stream_complete(
        self, prompt: str | Sequence[str], **options: Unpack[CompleteOptions]
    ) -> AsyncTextStream:
        """As `complete`, in pieces as they come. Use it in an `async with`."""
        return self._stream(complete_call(prompt, options, stream=True))

    async def embed(
        self,
        texts: str | Sequence[str],
        *,
        dimensions: int | None = None,
        pooling: Pooling | None = None,
        **options: Unpack[RoutingOptions],
    ) -> Embeddings:
        """One vector of unit length per text. `dimensions` keeps the first ones.

        `pooling` makes it of the tokens' mean, the first token or BERT's pooler; default: as
        the model was trained.
        """
        answer = await self._transport.send(embed_call(texts, dimensions, pooling, options))
        result = _replies.embeddings(parse_object(answer.content), answer.headers)
        self._transport.last_receipt.set(result.receipt)
        return result

    async def count_tokens(
        self, text: str | Sequence[Message], **options: Unpack[RoutingOptions]
    ) -> TokenCount:
        """A string as it stands; messages with the model's chat template."""
        answer = await self._transport.send(count_call(text, options))
        result = _replies.token_count(parse_object(answer.content), answer.headers)
        self._transport.last_receipt.set(result.receipt)
        return result

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def _completion(self, call: Call) -> Completion:
        answer = await self._transport.send(call)
        result = _replies.completion(parse_object(answer.content), answer.headers)
        self._transport.last_receipt.set(result.receipt)
        return result

    def _stream(self, call: Call) -> AsyncTextStream:
        return AsyncTextStream(lambda: self._transport.open(call), self._transport.last_receipt)


class AsyncModels:
    """What may be asked for."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    def list(self) -> AsyncPages[Model]:
        """Every name: `auto`, tiers, models, aliases."""
        return AsyncPages(Call("GET", "/v1/models"), self._fetch, _replies.model)

    async def get(self, name: str) -> Model:
        """Raises ModelNotFound."""
        return _replies.model(await self._fetch(Call("GET", f"/v1/models/{quote(name, safe='')}")))

    async def delete(self, name: str) -> None:
        """Of a tuned model. Raises ModelNotFound, and Conflict while a canary names it."""
        await self._fetch(Call("DELETE", f"/v1/models/{quote(name, safe='')}"))

    async def _fetch(self, call: Call) -> JsonObject:
        answer: Answer = await self._transport.send(call)
        return parse_object(answer.content)
