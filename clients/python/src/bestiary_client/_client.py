"""The blocking client. Its twin is `_async_client.py`; what they say is in `_requests.py`."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from urllib.parse import quote

import httpx2
from typing_extensions import Self, Unpack

from bestiary_client import _replies
from bestiary_client._canaries import Canaries
from bestiary_client._exchange import Answer
from bestiary_client._files import Files
from bestiary_client._images import Images
from bestiary_client._json import JsonObject, parse_object
from bestiary_client._pages import Pages
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
from bestiary_client._streaming import TextStream
from bestiary_client._tasks import Tasks
from bestiary_client._timeouts import Timeout, timeout_of
from bestiary_client._transport import Transport
from bestiary_client._tuning import Tuning


class Bestiary(Tasks):
    """A platform at `base_url` (else $BESTIARY_URL, else http://127.0.0.1:$BESTIARY_PORT or 8000).

    `api_key` defaults to $BESTIARY_API_KEY, and on this machine to the key that
    `bestiary up` wrote. `timeout` is in seconds, or a `Timeout`. 408, 429, 502, 503, 504 and
    failed connections are tried again up to `max_retries` times. May be shared by threads;
    close it, or use it in a `with`. `http_client` brings your own proxies and certificates;
    it is closed with this client.
    """

    def __init__(
        self,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout: float | Timeout | None = None,
        max_retries: int = DEFAULT_MAX_RETRIES,
        http_client: httpx2.Client | None = None,
    ) -> None:
        found = settings(base_url, api_key)
        # A proxy has no business between a machine and itself.
        client = http_client or httpx2.Client(trust_env=not found.loopback)
        wait = Timeout() if timeout is None else timeout_of(timeout)
        self._transport = Transport(client, found, wait, RetryPolicy(max_retries))
        self.models = Models(self._transport)
        self.images = Images(self._transport)
        self.files = Files(self._transport)
        self.tuning = Tuning(self._transport, self.files)
        self.canaries = Canaries(self._transport)

    @property
    def last_receipt(self) -> LatencyReceipt | None:
        """Of this thread's last finished call; each result carries its own too."""
        return self._transport.last_receipt.get()

    def chat(self, messages: str | Sequence[Message], **options: Unpack[ChatOptions]) -> Completion:
        """Answers a conversation; a plain string is one message of the user."""
        return self._completion(chat_call(messages, options, stream=False))

    def complete(
        self, prompt: str | Sequence[str], **options: Unpack[CompleteOptions]
    ) -> Completion:
        """Continues one prompt or several; choices are numbered prompt by prompt."""
        return self._completion(complete_call(prompt, options, stream=False))

    def stream_chat(
        self, messages: str | Sequence[Message], **options: Unpack[ChatOptions]
    ) -> TextStream:
        """As `chat`, in pieces as they come. Use it in a `with`."""
        return self._stream(chat_call(messages, options, stream=True))

    def stream_complete(
        self, prompt: str | Sequence[str], **options: Unpack[CompleteOptions]
    ) -> TextStream:
        """As `complete`, in pieces as they come. Use it in a `with`."""
        return self._stream(complete_call(prompt, options, stream=True))

    def embed(
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
        answer = self._transport.send(embed_call(texts, dimensions, pooling, options))
        result = _replies.embeddings(parse_object(answer.content), answer.headers)
        self._transport.last_receipt.set(result.receipt)
        return result

    def count_tokens(
        self, text: str | Sequence[Message], **options: Unpack[RoutingOptions]
    ) -> TokenCount:
        """A string as it stands; messages with the model's chat template."""
        answer = self._transport.send(count_call(text, options))
        result = _replies.token_count(parse_object(answer.content), answer.headers)
        self._transport.last_receipt.set(result.receipt)
        return result

    def close(self) -> None:
        """Closes the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _completion(self, call: Call) -> Completion:
        answer = self._transport.send(call)
        result = _replies.completion(parse_object(answer.content), answer.headers)
        self._transport.last_receipt.set(result.receipt)
        return result

    def _stream(self, call: Call) -> TextStream:
        return TextStream(lambda: self._transport.open(call), self._transport.last_receipt)


class Models:
    """What may be asked for."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> Pages[Model]:
        """Every name: `auto`, tiers, models, aliases."""
        return Pages(Call("GET", "/v1/models"), self._fetch, _replies.model)

    def get(self, name: str) -> Model:
        """Raises ModelNotFound."""
        return _replies.model(self._fetch(Call("GET", f"/v1/models/{quote(name, safe='')}")))

    def delete(self, name: str) -> None:
        """Of a tuned model. Raises ModelNotFound, and Conflict while a canary names it."""
        self._fetch(Call("DELETE", f"/v1/models/{quote(name, safe='')}"))

    def _fetch(self, call: Call) -> JsonObject:
        answer: Answer = self._transport.send(call)
        return parse_object(answer.content)
