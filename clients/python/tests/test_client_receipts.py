"""The latency receipt, from the body and from the headers, and whose the last one is."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from scripted_server import EXTENSION, RECEIPT, Reply, ScriptedServer, chat_reply, refusal

from bestiary_client import AsyncBestiary, Bestiary, LatencyReceipt, Unauthenticated

TIMING = "total;dur=12.5, gateway;dur=1, cdn;dur=4, queue;dur=2.25, cache;desc=hit"


def test_the_body_tells_every_stage(server: ScriptedServer) -> None:
    server.will(chat_reply())
    with Bestiary(base_url=server.url) as client:
        answer = client.chat("hi")
        assert client.last_receipt == answer.receipt
    assert answer.receipt == LatencyReceipt(
        **{f"{name}_ms": value for name, value in RECEIPT.items()},
        request_id="req-1",
        tier="gecko",
        model="tiny-135m",
        route_reason="requested-tier",
    )


def test_the_header_stands_in_where_the_body_says_nothing(server: ScriptedServer) -> None:
    body = chat_reply(bestiary=None).body
    server.will(Reply(body=body, headers={"server-timing": TIMING}))
    with Bestiary(base_url=server.url) as client:
        receipt = client.chat("hi").receipt
    assert receipt == LatencyReceipt(
        total_ms=12.5,
        gateway_ms=1.0,
        queue_ms=2.25,
        request_id="req-1",
        tier="gecko",
        model="tiny-135m",
        route_reason="requested-tier",
    )


def test_no_receipt_is_none(server: ScriptedServer) -> None:
    server.will(chat_reply(bestiary=None))
    with Bestiary(base_url=server.url) as client:
        assert client.chat("hi").receipt is None
        assert client.last_receipt is None


def test_a_refusal_has_a_receipt_too(server: ScriptedServer) -> None:
    reply = refusal(401, "invalid_api_key", {"server-timing": "total;dur=3"})
    server.will(reply)
    with Bestiary(base_url=server.url) as client:
        with pytest.raises(Unauthenticated):
            client.chat("hi")
        assert client.last_receipt is not None
        assert client.last_receipt.total_ms == 3.0


def test_clients_do_not_mix_their_receipts(server: ScriptedServer) -> None:
    server.will(chat_reply())
    with Bestiary(base_url=server.url) as one, Bestiary(base_url=server.url) as other:
        one.chat("hi")
        assert other.last_receipt is None


def test_threads_do_not_mix_their_receipts(server: ScriptedServer) -> None:
    server.will(chat_reply())
    with Bestiary(base_url=server.url) as client, ThreadPoolExecutor(1) as pool:
        client.chat("hi")
        assert pool.submit(lambda: client.last_receipt).result() is None
        pool.submit(client.chat, "hi").result()
        assert pool.submit(lambda: client.last_receipt).result() is not None


async def test_tasks_do_not_mix_their_receipts(server: ScriptedServer) -> None:
    totals = [1.0, 2.0, 3.0]
    server.will(
        *(
            chat_reply(bestiary={**EXTENSION, "receipt": {**RECEIPT, "total": total}})
            for total in totals
        )
    )
    async with AsyncBestiary(base_url=server.url) as client:

        async def own() -> bool:
            answer = await client.chat("hi")
            await asyncio.sleep(0.05)
            return client.last_receipt == answer.receipt

        assert all(await asyncio.gather(*(own() for _ in totals)))
        assert client.last_receipt is None
