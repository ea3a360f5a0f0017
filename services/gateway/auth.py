"""Who asks: the key of a request, and whether it may do what it asks for.

A key that was looked up is believed for `BELIEVED_S`, so that a revocation takes
effect within a second while the database is asked about once a second per key,
not once per request.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

from starlette.requests import Request

from bestiary.errors import PermissionDenied, Unauthenticated, Unavailable
from bestiary.state.keys import ApiKey, KeyScope
from services.gateway.exchange import exchange_of

BELIEVED_S = 0.8
LOOK_UP_DEADLINE_S = 5.0
LOOK_UP_THREADS = 4
MAX_REMEMBERED = 4096

LookUp = Callable[[str], ApiKey | None]  # blocking; raises Unavailable
Dependency = Callable[[Request], Awaitable[None]]


class Authenticator:
    """`look_up` is `Keys.verify`: it blocks, so it runs in a few threads of its own."""

    def __init__(self, look_up: LookUp) -> None:
        self._look_up = look_up
        self._threads = ThreadPoolExecutor(LOOK_UP_THREADS, thread_name_prefix="keys")
        # Digest of a secret -> (until when it is believed, the answer or who waits for it).
        # Unknown secrets too: a flood of wrong keys must not become a flood of queries.
        self._remembered: OrderedDict[bytes, tuple[float, asyncio.Future[ApiKey | None]]] = (
            OrderedDict()
        )

    async def key_of(self, secret: str) -> ApiKey:
        """Raises Unauthenticated, or Unavailable where the database does not answer."""
        key = await self._answer(secret)
        if key is None:
            raise Unauthenticated("the API key is unknown or was revoked")
        return key

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _answer(self, secret: str) -> ApiKey | None:
        digest = hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
        now = monotonic()
        until, answer = self._remembered.get(digest, (0.0, None))
        if answer is None or now >= until:
            # Believed from before it is asked, so that slow answers do not stretch the time.
            answer = asyncio.get_running_loop().run_in_executor(
                self._threads, self._look_up, secret
            )
            self._remember(digest, now + BELIEVED_S, answer)
        if answer.done() and answer.exception() is None:
            return answer.result()
        try:
            async with asyncio.timeout(LOOK_UP_DEADLINE_S):
                return await asyncio.shield(answer)  # others wait for it too
        except TimeoutError as error:
            raise Unavailable("the state database does not answer", 1.0) from error

    def _remember(self, digest: bytes, until: float, answer: asyncio.Future[ApiKey | None]) -> None:
        self._remembered[digest] = (until, answer)
        self._remembered.move_to_end(digest)
        answer.add_done_callback(lambda done: self._forget_failure(digest, done))
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)

    def _forget_failure(self, digest: bytes, done: asyncio.Future[ApiKey | None]) -> None:
        """A failed look-up is nobody's answer but of those who wait already."""
        if done.cancelled() or done.exception() is not None:
            kept = self._remembered.get(digest)
            if kept is not None and kept[1] is done:
                del self._remembered[digest]


def presented_secret(request: Request) -> str | None:
    """Where the SDKs put it: Bearer (OpenAI), x-goog-api-key and ?key= (Google), x-api-key."""
    headers = request.headers
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return (
        headers.get("x-api-key")
        or headers.get("x-goog-api-key")
        or request.query_params.get("key")
        or None
    )


def requires(authenticator: Authenticator, *scopes: KeyScope) -> Dependency:
    """A FastAPI dependency: the caller's key, with one of `scopes`, goes into the exchange."""

    async def authenticate(request: Request) -> None:
        secret = presented_secret(request)
        if secret is None:
            raise Unauthenticated(
                "no API key: send it as 'Authorization: Bearer KEY', in x-api-key or x-goog-api-key"
            )
        key = await authenticator.key_of(secret)
        if key.scopes.isdisjoint(scopes):
            raise PermissionDenied(f"the API key lacks the scope {scopes[0].value!r}")
        exchange_of(request).caller = key

    return authenticate
