"""A load from one process that costs little itself: raw HTTP/1.1 over asyncio streams."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    name: str
    host: str
    port: int
    key: str = ""


@dataclass(frozen=True)
class Outcome:
    """Of one run: what was done in `seconds`."""

    requests: int
    events: int  # SSE `data:` lines
    seconds: float
    first_byte_s: tuple[float, ...]  # per request; of a reply that is no stream: all of it


async def run(target: Target, path: str, body: object, *, clients: int, requests: int) -> Outcome:
    """`requests` in all from `clients` kept-alive connections. Raises on any reply but 200."""
    return await run_each(target, path, [body] * requests, clients=clients)


async def run_each(target: Target, path: str, bodies: Sequence[object], *, clients: int) -> Outcome:
    """One request for each body, in their order. Raises as `run` does."""
    left = iter([_message(target, path, body) for body in bodies])
    began = time.perf_counter()
    parts = await asyncio.gather(*(_client(target, left) for _ in range(clients)))
    seconds = time.perf_counter() - began
    replies = [reply for part in parts for reply in part]
    return Outcome(
        requests=len(replies),
        events=sum(events for events, _ in replies),
        seconds=seconds,
        first_byte_s=tuple(first for _, first in replies),
    )


def _message(target: Target, path: str, body: object) -> bytes:
    payload = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: {target.host}\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {target.key}\r\ncontent-length: {len(payload)}\r\n\r\n"
    )
    return head.encode() + payload


async def _client(target: Target, left: Iterator[bytes]) -> list[tuple[int, float]]:
    """`left` is one iterator that all clients share."""
    reader, writer = await asyncio.open_connection(target.host, target.port)
    done = []
    try:
        for message in left:
            sent = time.perf_counter()
            writer.write(message)
            done.append(await _reply(reader, sent))
    finally:
        writer.close()
    return done


async def _reply(reader: asyncio.StreamReader, sent: float) -> tuple[int, float]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    if " 200 " not in head.split("\r\n")[0]:
        raise RuntimeError(head)
    if "transfer-encoding: chunked" not in head:
        length = int(head.split("content-length: ")[1].split("\r\n")[0])
        body = await reader.readexactly(length)
        return body.count(b"data: "), time.perf_counter() - sent
    events, first = 0, 0.0
    while True:
        size = int(await reader.readuntil(b"\r\n"), 16)
        chunk = await reader.readexactly(size + 2)
        first = first or time.perf_counter() - sent
        events += chunk.count(b"data: ")
        if size == 0:
            return events, first
