"""/metrics: one page for the whole platform, gathered from Ray's agents, one per node.

An agent that does not answer in time is left out, and counted if it ever did. Who asks often gets
the page of a second ago: agents themselves report no oftener.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from time import monotonic

import httpx2
import orjson

from services.gateway.exposition import merged

FETCH_DEADLINE_S = 3.0
MAX_PAGE_BYTES = 64 * 2**20
FRESH_S = 1.0
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Targets = Callable[[], Awaitable[Sequence[str]]]  # "host:port" of each agent
_logger = logging.getLogger(__name__)


class MetricsPage:
    """`targets` is asked anew for every page: nodes come and go."""

    def __init__(self, targets: Targets) -> None:
        self._targets = targets
        self._answered: set[str] = set()  # Ray lists agents that never were there
        self._dead_fetches = 0
        self._made_at = -FRESH_S
        self._page = b""
        self._making = asyncio.Lock()

    async def text(self) -> bytes:
        async with self._making:
            if monotonic() - self._made_at >= FRESH_S:
                self._page = await self._make()
                self._made_at = monotonic()
            return self._page

    async def _make(self) -> bytes:
        targets = tuple(dict.fromkeys(await self._targets()))
        async with httpx2.AsyncClient(timeout=FETCH_DEADLINE_S, trust_env=False) as client:
            pages = await asyncio.gather(*(_fetch(client, target) for target in targets))
        alive = [page for page in pages if page is not None]
        silent = {target for target, page in zip(targets, pages, strict=True) if page is None}
        self._dead_fetches += len(silent & self._answered)
        self._answered |= set(targets) - silent
        # Hundreds of kilobytes of text: not on the event loop.
        text = await asyncio.to_thread(merged, alive)
        return (text + self._own(len(alive))).encode()

    def _own(self, alive: int) -> str:
        return (
            "# HELP bestiary_metrics_targets Metrics agents that this page was gathered from\n"
            "# TYPE bestiary_metrics_targets gauge\n"
            f"bestiary_metrics_targets {alive}\n"
            "# HELP bestiary_metrics_dead_fetches_total Agents that fell silent, since start\n"
            "# TYPE bestiary_metrics_dead_fetches_total counter\n"
            f"bestiary_metrics_dead_fetches_total {self._dead_fetches}\n"
        )


def discovered(file: Path) -> tuple[str, ...]:
    """Targets of Ray's service-discovery file (Prometheus' file_sd); none where it is not there."""
    try:
        groups = orjson.loads(file.read_bytes())
    except FileNotFoundError:
        return ()
    except orjson.JSONDecodeError:  # Ray is writing it
        return ()
    return tuple(
        str(target)
        for group in groups
        if isinstance(group, dict)
        for target in group.get("targets", ())
    )


async def _fetch(client: httpx2.AsyncClient, target: str) -> str | None:
    """None where the agent does not answer; a page over the bound is cut off as dead."""
    try:
        async with asyncio.timeout(FETCH_DEADLINE_S):
            async with client.stream("GET", f"http://{target}/metrics") as response:
                response.raise_for_status()
                content = bytearray()
                async for piece in response.aiter_bytes():
                    content += piece
                    if len(content) > MAX_PAGE_BYTES:
                        return None
    except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
        # Counted on the page if it ever answered: Ray lists agents that are not there.
        _logger.debug("metrics agent %s does not answer: %s", target, error)
        return None
    return content.decode("utf-8", "replace")
