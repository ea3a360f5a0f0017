"""Logprobs, response formats, tools and best_of on the OpenAI wire, whole and streamed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bestiary.schemas.text import ScoredToken, TokenLogprob
from services.gateway.dialects.openai_logprobs import ChatLogprobs, CompletionLogprobs

USER = [{"role": "user", "content": "hello world"}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "look",
            "description": "Look around",
            "parameters": {"type": "object", "properties": {"where": {"type": "string"}}},
            "strict": True,
        },
    },
    {"type": "function", "function": {"name": "wait"}},
]


def chat(door, **more):
    return door.client.post(
        "/v1/chat/completions", json={"model": "gecko", "messages": USER, **more}
    )


def complete(door, **more):
    return door.client.post("/v1/completions", json={"model": "gecko", "prompt": "a b", **more})


def frames(response) -> list[Any]:
    lines = [line for line in response.text.split("\n") if line.startswith("data: {")]
    return [json.loads(line.removeprefix("data: "))["choices"][0] for line in lines]


def test_chat_has_logprobs_for_every_token_and_the_likeliest_ones(door):
    [choice] = chat(door, logprobs=True, top_logprobs=2, max_tokens=2).json()["choices"]

    first, second = choice["logprobs"]["content"]
    assert (first["token"], first["logprob"]) == ("You", -0.5)
    assert first["bytes"] == list(b"You")
    assert second["token"] == " said:"
    assert [one["token"] for one in first["top_logprobs"]] == ["other0", "other1"]


def test_chat_without_top_logprobs_has_the_tokens_own(door):
    [choice] = chat(door, logprobs=True, max_tokens=1).json()["choices"]

    assert [one["top_logprobs"] for one in choice["logprobs"]["content"]] == [[]]


def test_without_being_asked_there_are_no_logprobs(door):
    assert chat(door).json()["choices"][0]["logprobs"] is None
    assert complete(door).json()["choices"][0]["logprobs"] is None


def test_a_stream_has_the_same_logprobs(door):
    asked = {"logprobs": True, "top_logprobs": 1, "max_tokens": 3}
    [whole] = chat(door, **asked).json()["choices"]
    streamed = [one["logprobs"] for one in frames(chat(door, **asked, stream=True))]

    together = [entry for one in streamed if one is not None for entry in one["content"]]
    assert together == whole["logprobs"]["content"]


def test_completions_have_parallel_lists(door):
    [choice] = complete(door, logprobs=1, max_tokens=2).json()["choices"]

    assert choice["logprobs"] == {
        "tokens": ["You", " said:"],
        "token_logprobs": [-0.5, -0.5],
        "top_logprobs": [{"other0": -0.25, "You": -0.5}, {"other0": -0.25, " said:": -0.5}],
        "text_offset": [0, 3],
    }


def test_no_alternatives_are_null_in_completions(door):
    [choice] = complete(door, logprobs=0, max_tokens=2).json()["choices"]

    assert choice["logprobs"]["top_logprobs"] is None
    assert choice["logprobs"]["token_logprobs"] == [-0.5, -0.5]


@pytest.mark.parametrize("max_tokens", [0, 2])
def test_an_echo_brings_the_prompts_logprobs_the_first_of_them_null(door, max_tokens):
    [choice] = complete(door, logprobs=1, echo=True, max_tokens=max_tokens).json()["choices"]
    logprobs = choice["logprobs"]

    assert choice["text"] == "a b " + "You said:" * bool(max_tokens)
    assert logprobs["tokens"][:2] == ["a ", "b "]
    assert logprobs["token_logprobs"][:2] == [None, -0.5]
    assert logprobs["top_logprobs"][:2] == [None, {"other0": -0.25, "b ": -0.5}]
    for token, offset in zip(logprobs["tokens"], logprobs["text_offset"], strict=True):
        assert choice["text"][offset:].startswith(token)


def test_only_scoring_a_prompt_costs_no_completion_tokens(door):
    body = complete(door, logprobs=1, echo=True, max_tokens=0).json()

    assert body["usage"]["completion_tokens"] == 0
    assert body["choices"][0]["finish_reason"] == "length"


def test_a_streams_text_offsets_go_on(door):
    asked = {"logprobs": 1, "echo": True, "max_tokens": 3}
    [whole] = complete(door, **asked).json()["choices"]
    streamed = [one["logprobs"] for one in frames(complete(door, **asked, stream=True))]

    together = [offset for one in streamed if one is not None for offset in one["text_offset"]]
    assert together == whole["logprobs"]["text_offset"]


def part_of_a_character() -> TokenLogprob:
    half = ScoredToken(1, b"\xe2\x82", special=False, logprob=-1.0)
    end = ScoredToken(2, b"<eos>", special=True, logprob=float("-inf"))
    return TokenLogprob(half, 0, (half, end))


def test_a_part_of_a_character_is_escaped_and_its_bytes_are_exact():
    [record] = ChatLogprobs().write((), [part_of_a_character()])["content"]

    assert (record["token"], record["bytes"]) == ("\\xe2\\x82", [0xE2, 0x82])
    assert record["top_logprobs"][1] == {"token": "<eos>", "logprob": -9999.0, "bytes": None}


def test_completions_mark_bytes_that_are_no_text():
    written = CompletionLogprobs(2).write((), [part_of_a_character(), part_of_a_character()])

    assert written["tokens"] == ["bytes:\\xe2\\x82"] * 2
    assert written["text_offset"] == [0, 0]


def test_a_json_schema_constrains_the_answer(door):
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    asked = {"name": "x", "schema": schema, "strict": True}
    body = chat(door, response_format={"type": "json_schema", "json_schema": asked}).json()

    constraint = door.router.requests[0].constraint
    assert (constraint.kind, json.loads(constraint.source)) == ("json_schema", schema)
    assert constraint.strict
    assert json.loads(body["choices"][0]["message"]["content"]) == {"a": 7}


@pytest.mark.parametrize(
    ("response_format", "kind", "source"),
    [
        ({"type": "json_object"}, "json_schema", '{"type":"object"}'),
        (
            {"type": "json_object", "value": {"type": "object", "title": "é"}},
            "json_schema",
            '{"type":"object","title":"é"}',
        ),
    ],
)
def test_objects_are_constrained_openais_way_and_hugging_faces(door, response_format, kind, source):
    chat(door, response_format=response_format)

    constraint = door.router.requests[0].constraint
    assert (constraint.kind, constraint.source, constraint.strict) == (kind, source, False)


@pytest.mark.parametrize(
    ("response_format", "kind", "source"),
    [
        ({"type": "regex", "regex": "a+"}, "regex", "a+"),
        ({"type": "grammar", "grammar": 'start: "a"'}, "grammar", 'start: "a"'),
    ],
)
@pytest.mark.parametrize("ask", [chat, complete])
def test_regexes_and_grammars_are_handed_on(door, ask, response_format, kind, source):
    assert ask(door, response_format=response_format).is_success

    constraint = door.router.requests[0].constraint
    assert (constraint.kind, constraint.source) == (kind, source)


def test_a_call_is_answered_as_one(door):
    [choice] = chat(door, tools=TOOLS, tool_choice="required").json()["choices"]

    [call] = choice["message"]["tool_calls"]
    assert choice["message"]["content"] is None
    assert choice["finish_reason"] == "tool_calls"
    assert call["id"].startswith("call_")
    assert call["type"] == "function"
    assert call["function"] == {"name": "look", "arguments": '{"where": "seven"}'}


def test_tools_are_handed_on_as_they_are(door):
    chat(door, tools=TOOLS, parallel_tool_calls=False)

    use = door.router.requests[0].tool_use
    assert (use.required, use.only, use.parallel) == (False, None, False)
    assert [tool.name for tool in use.tools] == ["look", "wait"]
    assert use.tools[0].parameters == TOOLS[0]["function"]["parameters"]
    assert (use.tools[0].strict, use.tools[1].strict) == (True, False)
    assert use.tools[1].parameters is None


def test_one_tool_can_be_demanded(door):
    named = {"type": "function", "function": {"name": "wait"}}
    [choice] = chat(door, tools=TOOLS, tool_choice=named).json()["choices"]

    assert choice["message"]["tool_calls"][0]["function"]["name"] == "wait"
    assert door.router.requests[0].tool_use.required


def test_no_tool_is_known_to_the_model_where_none_may_be_called(door):
    chat(door, tools=TOOLS, tool_choice="none")

    assert door.router.requests[0].tool_use is None


def test_tokens_are_counted_of_tools_as_of_the_chat_that_offers_them(door):
    chat(door, tools=TOOLS)
    asked = {"model": "gecko", "messages": USER, "tools": TOOLS}
    assert door.client.post("/v1/tokenize", json=asked).is_success
    asked_without = {**asked, "tool_choice": "none"}
    assert door.client.post("/v1/tokenize", json=asked_without).is_success

    chatted, counted, without = door.router.requests
    assert counted.messages == chatted.messages
    assert counted.tool_use == chatted.tool_use
    assert without.tool_use is None


def test_tools_are_counted_with_messages_only(door):
    asked = {"model": "gecko", "text": "a b", "tools": TOOLS}
    response = door.client.post("/v1/tokenize", json=asked)

    assert response.status_code == 400
    assert response.json()["error"]["param"] == "tools"


def test_the_router_weighs_tools_and_earlier_calls_as_it_weighs_words(door):
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "x" * 700}}
    called = {"role": "assistant", "content": None, "tool_calls": [call]}
    long = {**TOOLS[0], "function": {"name": "long", "description": "y" * 900}}
    chat(door)
    chat(door, tools=[long])
    chat(door, messages=[*USER, called, {"role": "tool", "tool_call_id": "c1", "content": ""}])
    door.client.post("/v1/tokenize", json={"model": "gecko", "messages": USER, "tools": [long]})

    plain, offered, history, counted = [route.prompt_size for route in door.router.routes]
    assert plain == len(USER[0]["content"])
    assert plain + 900 < offered < plain + 1000
    assert history == plain + len("look") + 700
    assert counted == offered


def test_an_answer_without_a_call_is_an_answer(door):
    [choice] = chat(door, tools=TOOLS).json()["choices"]

    assert choice["message"]["content"] == "You said: hello world"
    assert "tool_calls" not in choice["message"]
    assert choice["finish_reason"] == "stop"


def test_a_streamed_call_names_its_tool_first_and_then_gives_its_arguments(door):
    streamed = frames(chat(door, tools=TOOLS, tool_choice="required", stream=True))

    deltas = [one["delta"]["tool_calls"][0] for one in streamed if "tool_calls" in one["delta"]]
    first, *rest = deltas
    assert first.keys() == {"index", "id", "type", "function"}
    assert first["function"] == {"name": "look", "arguments": ""}
    assert [one.keys() for one in rest] == [{"index", "function"}] * 2
    together = "".join(one["function"]["arguments"] for one in deltas)
    assert json.loads(together) == {"where": "seven"}
    assert streamed[-1]["finish_reason"] == "tool_calls"


def test_calls_and_their_results_are_history(door):
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    history = [
        *USER,
        {"role": "assistant", "content": None, "tool_calls": [{**call, "index": 0}]},
        {"role": "tool", "tool_call_id": "c1", "content": "a sea"},
    ]

    assert chat(door, messages=history, tools=TOOLS).is_success
    _, asked, told = door.router.requests[0].messages
    assert (asked.content, asked.tool_calls[0].name, asked.tool_calls[0].id) == ("", "look", "c1")
    assert (told.role, told.content, told.tool_call_id) == ("tool", "a sea", "c1")


def test_what_openais_sdk_parsed_is_taken_back(door):
    function = {"name": "look", "arguments": "{}", "parsed_arguments": {}}
    reply = {
        "role": "assistant",
        "content": "",
        "parsed": None,
        "tool_calls": [{"id": "c1", "type": "function", "function": function}],
    }

    assert chat(door, messages=[*USER, reply, *USER]).is_success


def test_the_best_candidates_are_given_out_and_all_are_counted(door):
    body = complete(door, best_of=4, n=2).json()

    # The fake says that later candidates are likelier, token by token.
    assert [choice["text"][-3:] for choice in body["choices"]] == ["(3)", "(2)"]
    assert [choice["index"] for choice in body["choices"]] == [0, 1]
    assert body["usage"]["completion_tokens"] == 4 + 4 + 5 + 5
    assert door.router.requests[0].candidates == 4


def test_the_best_of_as_many_is_no_ranking_and_can_be_streamed(door):
    assert complete(door, best_of=2, n=2, stream=True).is_success
    assert not door.router.requests[0].ranked


def test_the_best_of_each_prompt_is_found(door):
    body = complete(door, prompt=["a", "b"], best_of=3).json()

    assert [choice["text"] for choice in body["choices"]] == ["You said: a (2)", "You said: b (2)"]
