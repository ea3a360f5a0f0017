"""Streams of summaries and translations: pieces in order, the end, hanging up, breaking."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from scripted_server import DONE, Reply, ScriptedServer, refusal
from task_replies import LOOKED, ending, piece, rewrite_stream

from bestiary_client import (
    AsyncBestiary,
    BadRequest,
    Bestiary,
    RewriteDelta,
    RewriteEnd,
    Rewriting,
    StreamBroken,
    UnexpectedReply,
    Usage,
)

TITLE = Rewriting("A title", "stop", truncated=False)
FAILURE = (
    'data: {"error": {"message": "gone", "type": "t", "param": null, "code": "overloaded"}}\n\n'
)


@pytest.fixture
def client(server: ScriptedServer) -> Iterator[Bestiary]:
    with Bestiary(base_url=server.url) as connected:
        yield connected


def test_pieces_come_in_order(server: ScriptedServer, client: Bestiary) -> None:
    server.will(rewrite_stream(piece("A ti"), ending("tle")))
    with client.stream_summarize("long", max_tokens=9) as stream:
        assert list(stream) == ["A ti", "tle"]
    assert server.got[0].path == "/v1/summarize"
    assert server.got[0].body == {
        "model": "auto",
        "text": "long",
        "max_tokens": 9,
        "stream": True,
    }


def test_a_stream_tells_what_came_and_at_its_end_everything(
    server: ScriptedServer, client: Bestiary
) -> None:
    server.will(rewrite_stream(piece("A ti"), ending("tle")))
    with client.stream_summarize("long") as stream:
        next(stream)
        assert (stream.text, stream.rewriting, stream.usage) == ("A ti", None, None)
        found = stream.finish()
    assert (found.items, found.model) == ((TITLE,), "a-card")
    assert (stream.text, stream.rewriting, stream.usage) == ("A title", TITLE, Usage(80, 7))
    assert found.receipt is not None
    assert client.last_receipt == stream.receipt == found.receipt


def test_inputs_may_be_mixed(server: ScriptedServer, client: Bestiary) -> None:
    server.will(rewrite_stream(piece("x", 1), piece("a"), ending("y", 1), ending("b")))
    with client.stream_translate(["1", "2"], target="fr") as stream:
        events = list(stream.events())
        assert [one.text for one in stream.finish()] == ["ab", "xy"]
    assert events[0] == RewriteDelta(1, "x")
    assert events[3] == RewriteEnd(1, Rewriting("xy", "stop", truncated=False))


def test_the_loop_is_of_the_first_input(server: ScriptedServer, client: Bestiary) -> None:
    server.will(rewrite_stream(piece("x", 1), piece("a"), ending("", 1), ending("")))
    with client.stream_translate(["1", "2"]) as stream:
        assert list(stream) == ["a"]


def test_attention_comes_at_the_end(server: ScriptedServer, client: Bestiary) -> None:
    server.will(rewrite_stream(piece("bon"), ending("jour", attention=LOOKED)))
    with client.stream_translate("hello", return_attention=True) as stream:
        (found,) = stream.finish()
    assert found.attention is not None
    assert found.attention.target_tokens == ("bonjour", "</s>")
    assert (server.got[0].body or {})["return_attention"] is True


def test_leaving_early_hangs_up(server: ScriptedServer, client: Bestiary) -> None:
    server.will(rewrite_stream(*[piece("a")] * 200, ending(""), pause_s=0.01))
    with client.stream_summarize("long") as stream:
        next(stream)
    assert server.hung_up.wait(3)


def test_a_failure_midway_breaks_the_stream(server: ScriptedServer, client: Bestiary) -> None:
    server.will(Reply(frames=(piece("A ti"), FAILURE)))
    with client.stream_summarize("long") as stream:
        assert next(stream) == "A ti"
        with pytest.raises(StreamBroken, match="gone"):
            next(stream)
    assert stream.text == "A ti"


def test_a_stream_without_its_end_is_broken(server: ScriptedServer, client: Bestiary) -> None:
    server.will(Reply(frames=(piece("a"), ending("b"))))
    with client.stream_summarize("long") as stream, pytest.raises(StreamBroken):
        stream.finish()


def test_a_text_without_its_end_is_told(server: ScriptedServer, client: Bestiary) -> None:
    server.will(Reply(frames=(piece("a"), DONE)))
    with client.stream_summarize("long") as stream, pytest.raises(UnexpectedReply):
        stream.finish()


def test_a_refusal_before_the_stream_is_an_api_error(
    server: ScriptedServer, client: Bestiary
) -> None:
    server.will(refusal(400, "invalid_request", param="target"))
    with pytest.raises(BadRequest), client.stream_translate("a", target="xx"):
        pass


async def test_async_pieces_events_and_finish(server: ScriptedServer) -> None:
    server.will(rewrite_stream(piece("A ti"), ending("tle")))
    async with AsyncBestiary(base_url=server.url) as client:
        async with client.stream_summarize("long") as stream:
            assert [delta async for delta in stream] == ["A ti", "tle"]
        assert client.last_receipt == stream.receipt
        async with client.stream_translate("long") as stream:
            assert [event async for event in stream.events()][-1] == RewriteEnd(0, TITLE)
            assert (await stream.finish()).items == (TITLE,)
        assert client.last_receipt is not None


async def test_async_leaving_early_hangs_up(server: ScriptedServer) -> None:
    server.will(rewrite_stream(*[piece("a")] * 200, ending(""), pause_s=0.01))
    async with AsyncBestiary(base_url=server.url) as client:
        async with client.stream_summarize("long") as stream:
            await anext(stream)
        assert await asyncio.to_thread(server.hung_up.wait, 3)
