"""Streams: events in order, hanging up, breaking, timing out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest
from scripted_server import (
    DONE,
    USAGE_FRAME,
    Reply,
    ScriptedServer,
    delta,
    frame,
    refusal,
    stream_reply,
)

from bestiary_client import (
    AsyncBestiary,
    BadRequest,
    Bestiary,
    ChoiceEnd,
    StreamBroken,
    TextDelta,
    TimedOut,
    Timeout,
    Unavailable,
    UnexpectedReply,
    Usage,
)

FAILURE = 'data: {"error": {"message": "gone", "type": "t", "param": null, "code": "%s"}}\n\n'


@pytest.fixture
def client(server: ScriptedServer) -> Iterator[Bestiary]:
    with Bestiary(base_url=server.url) as connected:
        yield connected


def test_deltas_come_in_order(server: ScriptedServer, client: Bestiary) -> None:
    server.will(stream_reply("sun", "light"))
    with client.stream_chat("why?") as stream:
        assert list(stream) == ["sun", "light"]


def test_a_stream_tells_what_came_and_at_its_end_everything(
    server: ScriptedServer, client: Bestiary
) -> None:
    server.will(stream_reply("sun", "light"))
    with client.stream_chat("why?") as stream:
        assert (stream.model, stream.tier, stream.request_id) == ("tiny-135m", "gecko", "req-1")
        next(stream)
        assert (stream.text, stream.finish_reason, stream.usage) == ("sun", None, None)
        assert stream.finish().text == stream.text == "sunlight"
    assert (stream.finish_reason, stream.usage) == ("stop", Usage(5, 2))
    assert stream.receipt is not None
    assert stream.receipt == client.last_receipt


def test_events_tell_whose_they_are(server: ScriptedServer, client: Bestiary) -> None:
    server.will(stream_reply("sun", "light"))
    with client.stream_chat("why?") as stream:
        events = list(stream.events())
    assert events == [TextDelta(0, "sun"), TextDelta(0, "light"), ChoiceEnd(0, "stop")]


def test_a_stream_asks_for_its_usage(server: ScriptedServer, client: Bestiary) -> None:
    server.will(stream_reply("a"))
    with client.stream_chat("why?") as stream:
        stream.finish()
    body = server.got[0].body
    assert body is not None
    assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})


def test_deltas_are_of_the_first_choice(server: ScriptedServer, client: Bestiary) -> None:
    server.will(Reply(frames=(delta("a", 1), delta("x"), delta("b", 1), delta("y"), DONE)))
    with client.stream_chat("why?", n=2) as stream:
        assert list(stream) == ["x", "y"]


def test_finish_gives_everything_after_some_was_read(
    server: ScriptedServer, client: Bestiary
) -> None:
    server.will(stream_reply("sun", "light"))
    with client.stream_chat("why?") as stream:
        next(stream)
        assert stream.finish().text == "sunlight"


def test_candidates_are_kept_apart(server: ScriptedServer, client: Bestiary) -> None:
    frames = (delta("a", 1), delta("x"), delta("b", 1, "stop"), delta("", 0, "length"), DONE)
    server.will(Reply(frames=frames))
    with client.stream_chat("why?", n=2) as stream:
        texts = [(one.text, one.finish_reason) for one in stream.finish().choices]
    assert texts == [("x", "length"), ("ab", "stop")]


def test_completions_stream_too(server: ScriptedServer, client: Bestiary) -> None:
    piece = frame(choices=[{"index": 0, "text": "more", "finish_reason": "stop"}])
    server.will(Reply(frames=(piece, USAGE_FRAME, DONE)))
    with client.stream_complete("once") as stream:
        assert stream.finish().text == "more"
    assert server.got[0].path == "/v1/completions"


def test_pieces_come_as_they_are_sent(server: ScriptedServer, client: Bestiary) -> None:
    server.will(stream_reply("a", "b", "c", pause_s=0.1))
    began = time.monotonic()
    with client.stream_chat("why?") as stream:
        next(stream)
        first = time.monotonic() - began
        stream.finish()
    assert first < (time.monotonic() - began) / 2


def test_leaving_early_hangs_up(server: ScriptedServer, client: Bestiary) -> None:
    server.will(stream_reply(*["piece"] * 200, pause_s=0.01))
    with client.stream_chat("why?") as stream:
        next(stream)
    assert server.hung_up.wait(3)


def test_leaving_before_the_first_delta_hangs_up(server: ScriptedServer, client: Bestiary) -> None:
    server.will(stream_reply(*["piece"] * 200, pause_s=0.01))
    with client.stream_chat("why?"):
        pass
    assert server.hung_up.wait(3)


def test_breaking_out_of_a_stream_without_a_with_hangs_up(
    server: ScriptedServer, client: Bestiary
) -> None:
    server.will(stream_reply(*["piece"] * 200, pause_s=0.01))
    for _ in client.stream_chat("why?"):
        break
    assert server.hung_up.wait(3)


def test_dropping_a_stream_hangs_up(server: ScriptedServer, client: Bestiary) -> None:
    server.will(stream_reply(*["piece"] * 200, pause_s=0.01))
    stream = client.stream_chat("why?")
    next(stream)
    del stream
    assert server.hung_up.wait(3)


def test_an_error_in_the_with_hangs_up(server: ScriptedServer, client: Bestiary) -> None:
    server.will(stream_reply(*["piece"] * 200, pause_s=0.01))
    with pytest.raises(LookupError), client.stream_chat("why?") as stream:
        raise LookupError(next(stream))
    assert server.hung_up.wait(3)


def test_a_stream_that_nobody_reads_sends_nothing(server: ScriptedServer, client: Bestiary) -> None:
    server.will(stream_reply("a"))
    client.stream_chat("why?").close()
    assert server.got == []


def test_a_closed_stream_has_no_more_deltas(server: ScriptedServer, client: Bestiary) -> None:
    server.will(stream_reply(*["piece"] * 200, pause_s=0.01))
    with client.stream_chat("why?") as stream:
        next(stream)
    stream.close()
    assert list(stream) == []
    with pytest.raises(StreamBroken, match="ended before its end"):
        stream.finish()


def test_a_refusal_before_the_stream_is_an_api_error(
    server: ScriptedServer, client: Bestiary
) -> None:
    server.will(refusal(400, "invalid_request", param="n"))
    with pytest.raises(BadRequest), client.stream_chat("why?"):
        pass


def test_an_opening_is_retried(server: ScriptedServer, client: Bestiary) -> None:
    server.will(refusal(503, "unavailable", {"retry-after": "0"}), stream_reply("a"))
    with client.stream_chat("why?") as stream:
        assert stream.finish().text == "a"


def test_a_failure_midway_breaks_the_stream_and_is_not_retried(
    server: ScriptedServer, client: Bestiary
) -> None:
    server.will(Reply(frames=(delta("a"), FAILURE % "replica_lost")))
    with client.stream_chat("why?") as stream:
        assert next(stream) == "a"
        with pytest.raises(StreamBroken, match="gone") as caught:
            next(stream)
    assert (caught.value.code, caught.value.request_id) == ("replica_lost", "req-1")
    assert isinstance(caught.value.__cause__, Unavailable)
    assert stream.text == "a"
    assert len(server.got) == 1


@pytest.mark.parametrize("cut", [False, True])
def test_a_stream_without_its_end_is_broken_and_not_retried(
    server: ScriptedServer, client: Bestiary, cut: bool
) -> None:
    server.will(Reply(frames=(delta("a"),), pause_s=0.05, cut=cut))
    with client.stream_chat("why?") as stream, pytest.raises(StreamBroken):
        list(stream)
    assert len(server.got) == 1


def test_a_frame_that_is_not_ours_is_told(server: ScriptedServer, client: Bestiary) -> None:
    server.will(Reply(frames=("data: nonsense\n\n",)))
    with client.stream_chat("why?") as stream, pytest.raises(UnexpectedReply):
        list(stream)


def test_silence_times_out(server: ScriptedServer) -> None:
    server.will(stream_reply("a", "b", pause_s=0.5))
    with (
        Bestiary(base_url=server.url, timeout=Timeout(read=0.1)) as client,
        client.stream_chat("why?") as stream,
        pytest.raises(TimedOut, match="stopped coming"),
    ):
        list(stream)


def test_a_stream_that_goes_on_too_long_times_out(server: ScriptedServer) -> None:
    server.will(stream_reply(*["piece"] * 100, pause_s=0.02))
    began = time.monotonic()
    with (
        Bestiary(base_url=server.url, timeout=Timeout(total=0.2)) as client,
        client.stream_chat("why?") as stream,
        pytest.raises(TimedOut, match=r"within 0\.2 s"),
    ):
        list(stream)
    assert time.monotonic() - began < 1


async def test_async_deltas_come_in_order(server: ScriptedServer) -> None:
    server.will(stream_reply("sun", "light"))
    async with AsyncBestiary(base_url=server.url) as client:
        async with client.stream_chat("why?") as stream:
            assert [delta async for delta in stream] == ["sun", "light"]
        assert (stream.text, stream.finish_reason) == ("sunlight", "stop")
        assert stream.usage == Usage(5, 2)
        assert stream.receipt is not None
        assert client.last_receipt == stream.receipt


async def test_async_events_and_finish(server: ScriptedServer) -> None:
    server.will(stream_reply("sun", "light"))
    async with (
        AsyncBestiary(base_url=server.url) as client,
        client.stream_complete("why?") as stream,
    ):
        events = stream.events()
        assert await anext(events) == TextDelta(0, "sun")
        assert (await stream.finish()).text == "sunlight"
        assert [event async for event in events] == []


async def test_async_leaving_early_hangs_up(server: ScriptedServer) -> None:
    server.will(stream_reply(*["piece"] * 200, pause_s=0.01))
    async with AsyncBestiary(base_url=server.url) as client:
        async with client.stream_chat("why?") as stream:
            await anext(stream)
        assert await asyncio.to_thread(server.hung_up.wait, 3)


async def test_breaking_out_of_an_async_stream_without_a_with_hangs_up(
    server: ScriptedServer,
) -> None:
    server.will(stream_reply(*["piece"] * 200, pause_s=0.01))
    async with AsyncBestiary(base_url=server.url) as client:
        async for _ in client.stream_chat("why?"):
            break
        assert await asyncio.to_thread(server.hung_up.wait, 3)


async def test_a_cancelled_task_hangs_up(server: ScriptedServer) -> None:
    server.will(stream_reply(*["piece"] * 200, pause_s=0.01))
    async with AsyncBestiary(base_url=server.url) as client:

        async def read() -> None:
            async with client.stream_chat("why?") as stream:
                await stream.finish()

        task = asyncio.create_task(read())
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(server.hung_up.wait, 3)


async def test_an_async_failure_midway_breaks_the_stream(server: ScriptedServer) -> None:
    server.will(Reply(frames=(delta("a"), FAILURE % "engine_failure"), pause_s=0.01))
    async with (
        AsyncBestiary(base_url=server.url) as client,
        client.stream_chat("why?") as stream,
    ):
        with pytest.raises(StreamBroken, match="gone"):
            await stream.finish()
        assert stream.text == "a"


async def test_an_async_refusal_is_raised_on_entering(server: ScriptedServer) -> None:
    server.will(refusal(400, "invalid_request", param="n"))
    async with AsyncBestiary(base_url=server.url) as client:
        with pytest.raises(BadRequest):
            async with client.stream_chat("why?"):
                pass
