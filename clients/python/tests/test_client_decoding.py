"""Logprobs, response formats and tools: what is sent, and what comes back, whole and streamed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from scripted_server import (
    DONE,
    USAGE_FRAME,
    Reply,
    ScriptedServer,
    chat_reply,
    completion_reply,
    frame,
    scored_completion,
    tool_call_reply,
)

from bestiary_client import (
    Bestiary,
    ChoiceEnd,
    LikelyToken,
    TextDelta,
    TokenLogprob,
    Tool,
    ToolCall,
    ToolCallDelta,
    UnexpectedReply,
)

LOOK: Tool = {"type": "function", "function": {"name": "look"}}


@pytest.fixture
def client(server: ScriptedServer) -> Iterator[Bestiary]:
    with Bestiary(base_url=server.url, api_key="sk-1") as connected:
        yield connected


def sent(server: ScriptedServer) -> dict[str, object]:
    body = server.got[0].body
    assert body is not None
    return {name: value for name, value in body.items() if name not in ("model", "messages")}


def test_chat_sends_every_decoding_option(server: ScriptedServer, client: Bestiary) -> None:
    server.will(chat_reply())
    client.chat(
        "hi",
        min_p=0.1,
        logit_bias={50: -100, 7: 1.5},
        logprobs=2,
        response_format={"type": "regex", "regex": "(yes|no)"},
        tools=[LOOK],
        tool_choice={"type": "function", "function": {"name": "look"}},
        parallel_tool_calls=False,
    )
    assert sent(server) == {
        "min_p": 0.1,
        "logit_bias": {"50": -100, "7": 1.5},
        "logprobs": True,
        "top_logprobs": 2,
        "response_format": {"type": "regex", "regex": "(yes|no)"},
        "tools": [LOOK],
        "tool_choice": {"type": "function", "function": {"name": "look"}},
        "parallel_tool_calls": False,
    }


def test_complete_sends_every_decoding_option(server: ScriptedServer, client: Bestiary) -> None:
    server.will(completion_reply("a"))
    client.complete("p", best_of=3, echo=True, logprobs=0, max_tokens=0)
    assert sent(server) == {
        "prompt": "p",
        "best_of": 3,
        "echo": True,
        "logprobs": 0,
        "max_tokens": 0,
    }


def test_options_of_one_call_are_not_those_of_the_other(client: Bestiary) -> None:
    with pytest.raises(TypeError, match="unknown option 'best_of'"):
        client.chat("hi", best_of=2)  # type: ignore[call-arg]  # what a type checker refuses
    with pytest.raises(TypeError, match="unknown option 'tools'"):
        client.complete("p", tools=[LOOK])  # type: ignore[call-arg]


def test_a_call_is_given_and_can_be_sent_back(server: ScriptedServer, client: Bestiary) -> None:
    server.will(tool_call_reply(), chat_reply("a ship"))
    answer = client.chat("what is there?", tools=[LOOK])
    assert answer.tool_calls == (ToolCall("call_1", "look", '{"at": "sea"}'),)
    assert (answer.text, answer.finish_reason) == ("", "tool_calls")
    client.chat([answer.message, {"role": "tool", "tool_call_id": "call_1", "content": "x"}])
    assert server.got[1].body is not None
    assert server.got[1].body["messages"][0] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "call_1",
                "type": "function",
                "function": {"name": "look", "arguments": '{"at": "sea"}'},
            }
        ],
    }


def test_an_answer_in_words_is_a_message_too(server: ScriptedServer, client: Bestiary) -> None:
    server.will(chat_reply("sunlight"))
    answer = client.chat("why?")
    assert answer.message == {"role": "assistant", "content": "sunlight"}
    assert (answer.tool_calls, answer.choices[0].logprobs) == ((), None)


RECORD = {
    "token": "\\xe2\\x82",
    "logprob": -0.5,
    "bytes": [0xE2, 0x82],
    "top_logprobs": [{"token": "<eos>", "logprob": -9999.0, "bytes": None}],
}
SCORED = TokenLogprob("\\xe2\\x82", -0.5, b"\xe2\x82", (LikelyToken("<eos>", -9999.0, None),))


def test_chats_logprobs_are_given(server: ScriptedServer, client: Bestiary) -> None:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "x"},
        "logprobs": {"content": [RECORD], "refusal": None},
    }
    server.will(chat_reply(choices=[choice]))
    assert client.chat("hi", logprobs=1).choices[0].logprobs == (SCORED,)


def test_completions_logprobs_are_given(server: ScriptedServer, client: Bestiary) -> None:
    server.will(scored_completion())
    first, second, third = client.complete("p", logprobs=2).choices[0].logprobs or ()
    assert (first.logprob, first.top) == (None, ())
    assert second == TokenLogprob(
        " sea",
        -1.5,
        b" sea",
        (LikelyToken(" sea", -1.5, b" sea"), LikelyToken(" sky", -2.5, b" sky")),
        text_offset=3,
    )
    assert third.bytes == b"\xe2\x82"


def test_completions_may_have_no_likeliest_tokens(server: ScriptedServer, client: Bestiary) -> None:
    server.will(scored_completion(top_logprobs=None))
    found = client.complete("p", logprobs=0).choices[0].logprobs or ()
    assert [one.top for one in found] == [(), (), ()]


@pytest.mark.parametrize(
    "scores",
    [{"tokens": ["a"]}, {"token_logprobs": ["x", 1, 2]}, {"tokens": [1, 2, 3]}],
)
def test_logprobs_of_another_shape_are_told(
    server: ScriptedServer, client: Bestiary, scores: dict[str, object]
) -> None:
    server.will(scored_completion(**scores))
    with pytest.raises(UnexpectedReply):
        client.complete("p", logprobs=1)


def choice_frame(delta: dict[str, object], **more: object) -> str:
    return frame(choices=[{"index": 0, "delta": delta, "finish_reason": None, **more}])


def call_frame(call: int, arguments: str, name: str | None = None) -> str:
    function: dict[str, object] = {"arguments": arguments}
    record: dict[str, object] = {"index": call}
    if name is not None:
        record |= {"id": f"call_{call}", "type": "function"}
        function["name"] = name
    return choice_frame({"tool_calls": [record | {"function": function}]})


def test_streamed_calls_come_piece_by_piece(server: ScriptedServer, client: Bestiary) -> None:
    frames = (
        choice_frame({"role": "assistant", "content": ""}),
        choice_frame({"content": "I look."}),
        call_frame(0, "", "look"),
        call_frame(0, '{"at"'),
        call_frame(0, ": 1}"),
        call_frame(1, "", "wait"),
        call_frame(1, "{}"),
        choice_frame({}, finish_reason="tool_calls"),
        USAGE_FRAME,
        DONE,
    )
    server.will(Reply(frames=frames))
    with client.stream_chat("hi", tools=[LOOK]) as stream:
        events = list(stream.events())
        calls = stream.tool_calls
        whole = stream.finish()
    assert events[0] == TextDelta(0, "I look.")
    assert events[1] == ToolCallDelta(0, 0, "", "call_0", "look")
    assert events[2] == ToolCallDelta(0, 0, '{"at"')
    assert events[-1] == ChoiceEnd(0, "tool_calls")
    assert calls == (ToolCall("call_0", "look", '{"at": 1}'), ToolCall("call_1", "wait", "{}"))
    assert (whole.tool_calls, whole.text) == (calls, "I look.")


def test_streamed_logprobs_come_with_the_text(server: ScriptedServer, client: Bestiary) -> None:
    scored = {"content": [RECORD], "refusal": None}
    frames = (
        choice_frame({"content": "a"}, logprobs=scored),
        choice_frame({"content": ""}, logprobs=scored),
        choice_frame({}, finish_reason="stop"),
        USAGE_FRAME,
        DONE,
    )
    server.will(Reply(frames=frames))
    with client.stream_chat("hi", logprobs=1) as stream:
        assert list(stream) == ["a"]  # a piece without text is none
        whole = stream.finish()
    assert whole.choices[0].logprobs == (SCORED, SCORED)
