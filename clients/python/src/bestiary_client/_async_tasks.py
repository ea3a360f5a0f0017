"""The tasks of encoders and encoder-decoders for asyncio. Its twin is `_tasks.py`.

What the methods say is in `_task_requests.py`, what they give in `_task_results.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar, overload

from typing_extensions import Unpack

from bestiary_client import _task_replies as replies
from bestiary_client._async_rewrite_streaming import AsyncRewriteStream
from bestiary_client._async_transport import AsyncTransport
from bestiary_client._json import JsonObject, parse_object
from bestiary_client._requests import Call
from bestiary_client._task_requests import (
    Pair,
    RewriteOptions,
    TaskOptions,
    Texts,
    TranslateOptions,
    classify_call,
    explain_call,
    pairs_call,
    rerank_call,
    summarize_call,
    texts_call,
    translate_call,
)
from bestiary_client._task_results import (
    Classification,
    Explanation,
    FilledMask,
    NextSentence,
    RankedDocument,
    Results,
    Rewriting,
    Similarity,
    TokenSpans,
    TokenVectors,
)

T = TypeVar("T")
R = TypeVar("R", bound="Results[object] | Explanation")


class AsyncTasks:
    """Methods of `AsyncBestiary`: one text or a list of them in, one result for each out."""

    _transport: AsyncTransport  # the client's

    async def fill_mask(
        self, text: Texts, *, top_k: int | None = None, **options: Unpack[TaskOptions]
    ) -> Results[FilledMask]:
        """The likeliest words for the one `[MASK]` of each text; `top_k` is 1 to 100, default 5."""
        call = texts_call("fill-mask", text, {"top_k": top_k}, options)
        return await self._each(call, replies.filled_mask)

    @overload
    async def next_sentence(
        self, first: str, second: str, **options: Unpack[TaskOptions]
    ) -> Results[NextSentence]: ...
    @overload
    async def next_sentence(
        self, first: Sequence[Pair], second: None = None, **options: Unpack[TaskOptions]
    ) -> Results[NextSentence]: ...
    async def next_sentence(
        self, first: str | Sequence[Pair], second: str | None = None, **options: Unpack[TaskOptions]
    ) -> Results[NextSentence]:
        """Whether `second` follows `first`; or give a list of pairs."""
        call = pairs_call("next-sentence", first, second, options)
        return await self._each(call, replies.next_sentence)

    async def classify(
        self,
        text: str | Sequence[str | Pair],
        text_pair: str | None = None,
        **options: Unpack[TaskOptions],
    ) -> Results[Classification]:
        """The label of a text or of a pair; a list may hold both."""
        return await self._each(classify_call(text, text_pair, options), replies.classification)

    async def token_classify(
        self, text: Texts, **options: Unpack[TaskOptions]
    ) -> Results[TokenSpans]:
        """Labelled spans of each text, with their places in characters."""
        return await self._each(
            texts_call("token-classify", text, {}, options), replies.token_spans
        )

    async def token_embeddings(
        self, text: Texts, **options: Unpack[TaskOptions]
    ) -> Results[TokenVectors]:
        """One vector for each token; 32,768 tokens at most in one call."""
        packed: JsonObject = {"encoding_format": "base64"}
        call = texts_call("token-embeddings", text, packed, options)
        return await self._each(call, replies.token_vectors)

    async def rerank(
        self,
        query: str,
        documents: Sequence[str],
        *,
        top_n: int | None = None,
        return_documents: bool = False,
        **options: Unpack[TaskOptions],
    ) -> Results[RankedDocument]:
        """The documents that fit the query best, the best first; `top_n` of them, default all."""
        call = rerank_call(query, documents, top_n, return_documents, options)
        return await self._read(call, replies.ranking)

    @overload
    async def similarity(
        self, first: str, second: str, **options: Unpack[TaskOptions]
    ) -> Results[Similarity]: ...
    @overload
    async def similarity(
        self, first: Sequence[Pair], second: None = None, **options: Unpack[TaskOptions]
    ) -> Results[Similarity]: ...
    async def similarity(
        self, first: str | Sequence[Pair], second: str | None = None, **options: Unpack[TaskOptions]
    ) -> Results[Similarity]:
        """How alike two texts are; or give a list of pairs."""
        call = pairs_call("similarity", first, second, options)
        return await self._each(call, replies.similarity)

    async def explain(
        self, text: str, text_pair: str | None = None, **options: Unpack[TaskOptions]
    ) -> Explanation:
        """What the model makes of one text or pair of at most 128 tokens: inputs and attention."""
        return await self._read(explain_call(text, text_pair, options), replies.explanation)

    async def summarize(self, text: Texts, **options: Unpack[RewriteOptions]) -> Results[Rewriting]:
        """A summary of each text."""
        return await self._each(summarize_call(text, options, stream=False), replies.rewriting)

    async def translate(
        self,
        text: Texts,
        *,
        return_attention: bool = False,
        **options: Unpack[TranslateOptions],
    ) -> Results[Rewriting]:
        """A translation of each text; `return_attention` tells where the decoder looked."""
        call = translate_call(text, return_attention, options, stream=False)
        return await self._each(call, replies.rewriting)

    def stream_summarize(
        self, text: Texts, **options: Unpack[RewriteOptions]
    ) -> AsyncRewriteStream:
        """As `summarize`, in pieces as they come. Use it in an `async with`."""
        return self._rewrites(summarize_call(text, options, stream=True))

    def stream_translate(
        self,
        text: Texts,
        *,
        return_attention: bool = False,
        **options: Unpack[TranslateOptions],
    ) -> AsyncRewriteStream:
        """As `translate`, in pieces as they come. Use it in an `async with`."""
        return self._rewrites(translate_call(text, return_attention, options, stream=True))

    async def _each(self, call: Call, read: Callable[[JsonObject], T]) -> Results[T]:
        return await self._read(call, lambda body, headers: replies.results(body, headers, read))

    async def _read(self, call: Call, read: Callable[[JsonObject, replies.Headers], R]) -> R:
        answer = await self._transport.send(call)
        result = read(parse_object(answer.content), answer.headers)
        self._transport.last_receipt.set(result.receipt)
        return result

    def _rewrites(self, call: Call) -> AsyncRewriteStream:
        return AsyncRewriteStream(lambda: self._transport.open(call), self._transport.last_receipt)
