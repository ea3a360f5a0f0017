"""A client that leaves frees what it held: over a real socket, where leaving is possible."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import asynccontextmanager
from time import monotonic

import pytest
import uvicorn
from gateway_fakes import RUNNING, FakeDispatcher, FakeSink, gateway_args, no_targets
from image_fakes import ImageDispatcher, image_args
from native_fakes import NativeDispatcher, native_args

from bestiary.profile.models import Gateway
from services.gateway.application import Collaborators, gateway_application

CHAT = {"model": "gecko", "messages": [{"role": "user", "content": "hello big world"}]}


@asynccontextmanager
async def served(keys, args=None, dispatcher=FakeDispatcher):
    args = args or gateway_args()
    router, sink = dispatcher(args), FakeSink()
    others = Collaborators(router, lambda: RUNNING, keys.verify, sink, no_targets)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(gateway_application(args, others), log_level="error", lifespan="on")
    )
    running = asyncio.create_task(server.serve([listener]))
    try:
        yield router, sink, listener.getsockname()[1], keys.create("t").secret
    finally:
        server.should_exit = True
        await running
        listener.close()


async def post(port, secret, body: bytes, path="/v1/chat/completions"):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        (
            f"POST {path} HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {secret}\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        ).encode()
        + body
    )
    await writer.drain()
    return reader, writer


async def until(condition, seconds=3.0):
    deadline = monotonic() + seconds
    while not condition():
        assert monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("stall_after", [0, 2])
async def test_a_client_that_leaves_ends_the_call(keys, stream, stall_after):
    async with served(keys) as (router, sink, port, secret):
        router.stall_after = stall_after
        body = json.dumps({**CHAT, "stream": stream}).encode()
        reader, writer = await post(port, secret, body)
        if stream and stall_after:
            await reader.readuntil(b"You")
        await until(lambda: router.calls)

        writer.close()
        await until(lambda: router.calls[0].closed == 1)
        await until(lambda: sink.values["bestiary_requests_total"])

    [(_, tags)] = sink.values["bestiary_requests_total"]
    assert tags["status"] == "499"


async def test_a_client_that_leaves_ends_every_one_of_several_calls(keys):
    async with served(keys) as (router, _, port, secret):
        router.stall_after = 1
        asked = {"model": "gecko", "prompt": ["a", "b", "c"], "stream": True}
        reader, writer = await post(port, secret, json.dumps(asked).encode(), "/v1/completions")
        await reader.readuntil(b"You")

        writer.close()
        await until(lambda: [call.closed for call in router.calls] == [1, 1, 1])


async def test_chunks_arrive_as_they_are_made(keys):
    async with served(keys) as (router, _, port, secret):
        router.stall_after = 1
        body = json.dumps({**CHAT, "stream": True}).encode()
        reader, writer = await post(port, secret, body)

        async with asyncio.timeout(2):
            await reader.readuntil(b'"content":"You"')
        writer.close()
        await writer.wait_closed()


async def test_a_body_over_the_limit_is_answered_while_it_is_sent(keys):
    async with served(keys) as (_, _, port, secret):
        reader, writer = await post(port, secret, b"x" * 10 * 2**20)

        async with asyncio.timeout(5):
            head = await reader.readuntil(b"\r\n\r\n")
        assert b"413" in head.split(b"\r\n")[0]
        writer.close()
        await writer.wait_closed()


async def test_one_connection_serves_one_request_after_another(keys):
    async with served(keys) as (_, _, port, secret):
        reader, writer = await post(port, secret, json.dumps(CHAT).encode())
        first = await reader.readuntil(b"}}}")
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: t\r\n\r\n")
        second = await reader.readuntil(b"}")
        writer.close()
        await writer.wait_closed()

    assert b"You said: hello big world" in first
    assert b'{"status":"ok"}' in second


async def test_a_client_that_leaves_ends_a_native_task(keys):
    async with served(keys, native_args(Gateway()), NativeDispatcher) as (router, sink, port, key):
        router.stall_after = 0
        body = json.dumps({"first": "a", "second": "b"}).encode()
        _, writer = await post(port, key, body, "/v1/similarity")
        await until(lambda: router.asked)

        writer.close()
        await until(lambda: router.left == 1)
        await until(lambda: sink.values["bestiary_requests_total"])

    [(_, tags)] = sink.values["bestiary_requests_total"]
    assert tags["status"] == "499"


@pytest.mark.parametrize("stall_after", [0, 1])
async def test_a_client_that_leaves_ends_a_native_stream(keys, stall_after):
    async with served(keys, native_args(Gateway()), NativeDispatcher) as (router, sink, port, key):
        router.stall_after = stall_after
        body = json.dumps({"text": "the sea is wide", "stream": True}).encode()
        reader, writer = await post(port, key, body, "/v1/summarize")
        if stall_after:
            await reader.readuntil(b"THE")
        await until(lambda: router.rewritings)

        writer.close()
        await until(lambda: router.rewritings[0].closed == 1)
        await until(lambda: sink.values["bestiary_requests_total"])

    [(_, tags)] = sink.values["bestiary_requests_total"]
    assert tags["status"] == "499"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("stall_after", [0, 2])
@pytest.mark.parametrize("path", ["/v1/images/text-to-image", "/v1/images/generations"])
async def test_a_client_that_leaves_ends_the_drawing(keys, path, stream, stall_after):
    async with served(keys, image_args(Gateway()), ImageDispatcher) as (router, sink, port, key):
        router.stall_after = stall_after
        body = json.dumps({"prompt": "a cat", "n": 2, "stream": stream}).encode()
        reader, writer = await post(port, key, body, path)
        if stream and stall_after and "text-to-image" in path:
            await reader.readuntil(b'"step":1')
        await until(lambda: router.drawings)

        writer.close()
        await until(lambda: router.drawings[0].closed == 1)
        await until(lambda: sink.values["bestiary_requests_total"])

    [(_, tags)] = sink.values["bestiary_requests_total"]
    assert tags["status"] == "499"
