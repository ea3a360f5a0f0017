"""What the OpenAI dialect refuses, and that it names the field."""

from __future__ import annotations

import pytest

CHAT = {"model": "gecko", "messages": [{"role": "user", "content": "hi"}]}


def refused(door, path, body, status=400):
    response = door.client.post(path, json=body)
    assert response.status_code == status, response.text
    assert not door.router.requests
    return response.json()["error"]


@pytest.mark.parametrize(
    ("field", "value", "param"),
    [
        ("n", 0, "n"),
        ("n", 1000, "n"),
        ("temperature", -1, "temperature"),
        ("temperature", "warm", "temperature"),
        ("temperature", "0.5", "temperature"),
        ("top_p", 0, "top_p"),
        ("max_tokens", 0, "max_tokens"),
        ("max_completion_tokens", 0, "max_completion_tokens"),
        ("messages", [], "messages"),
        ("messages", "hi", "messages"),
        ("messages", [{"role": "king", "content": "hi"}], "messages[0].role"),
        ("messages", [{"role": "user"}], "messages[0].content"),
        ("messages", [{"role": "user", "content": 3}], "messages[0].content"),
        (
            "messages",
            [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}],
            "messages[0].content",
        ),
        ("stop", [""], "stop"),
        ("stop", ["a"] * 17, "stop"),
        ("stream", "yes", "stream"),
        ("seed", 2**70, "seed"),
        ("model", "", "model"),
    ],
)
def test_chat_refuses_a_bad_value(door, field, value, param):
    error = refused(door, "/v1/chat/completions", {**CHAT, field: value})

    assert error["type"] == "invalid_request_error"
    assert error["param"].startswith(param)


def test_an_unknown_parameter_is_named(door):
    error = refused(door, "/v1/chat/completions", {**CHAT, "temprature": 1})

    assert error["message"] == "Unrecognized request argument supplied: temprature"
    assert error["param"] == "temprature"


def test_a_missing_parameter_is_named(door):
    error = refused(door, "/v1/chat/completions", {"messages": CHAT["messages"]})

    assert error["message"] == "Missing required parameter: 'model'."
    assert error["param"] == "model"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("modalities", ["audio"]),
        ("functions", [{}]),
        ("reasoning_effort", "high"),
    ],
)
def test_chat_refuses_what_it_cannot_do_yet(door, field, value):
    error = refused(door, "/v1/chat/completions", {**CHAT, field: value})

    assert error["code"] == "unsupported_parameter"
    assert error["param"] == field


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("logprobs", False),
        ("logprobs", None),
        ("tools", []),
        ("response_format", {"type": "text"}),
        ("response_format", None),
        ("tool_choice", "none"),
        ("logit_bias", {}),
    ],
)
def test_what_asks_for_nothing_is_taken(door, field, value):
    assert door.client.post("/v1/chat/completions", json={**CHAT, field: value}).is_success


def test_completions_refuse_what_they_cannot_do_yet(door):
    error = refused(door, "/v1/completions", {"model": "gecko", "prompt": "hi", "suffix": "x"})

    assert error["code"] == "unsupported_parameter"
    assert error["param"] == "suffix"


def nested(levels: int) -> dict[str, object]:
    schema: dict[str, object] = {"type": "integer"}
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


DEEP = nested(500)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "x", "schema": DEEP},
                }
            },
            "response_format.json_schema.schema",
        ),
        ({"response_format": {"type": "json_object", "value": DEEP}}, "response_format.value"),
        (
            {"tools": [{"type": "function", "function": {"name": "x", "parameters": DEEP}}]},
            "tools[0].function.parameters",
        ),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"logprobs": 3}, "logprobs"),
        ({"min_p": 1.5}, "min_p"),
        ({"logit_bias": {"cat": 1}}, "logit_bias"),
        ({"logit_bias": {"-1": 1}}, "logit_bias"),
        ({"logit_bias": {"1": 101}}, "logit_bias"),
        ({"logit_bias": {"1": "much"}}, "logit_bias"),
        ({"logit_bias": [1]}, "logit_bias"),
        ({"logit_bias": {str(token): 1 for token in range(1025)}}, "logit_bias"),
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
            "response_format.json_schema.schema",
        ),
        ({"response_format": {"type": "regex"}}, "response_format"),
        ({"response_format": {"type": "regex", "regex": "a", "grammar": "b"}}, "response_format"),
        ({"response_format": {"type": "text", "value": {}}}, "response_format"),
    ],
)
def test_decoding_options_are_checked(door, fields, param):
    error = refused(door, "/v1/chat/completions", {**CHAT, **fields})

    assert error["type"] == "invalid_request_error"
    assert error["param"].startswith(param)


TOOL = {"type": "function", "function": {"name": "look"}}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
        ({"tools": [TOOL, TOOL]}, "tools[1].function.name"),
        ({"tools": [TOOL] * 129}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": "perhaps"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "function"}}, "tool_choice"),
        (
            {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "no"}}},
            "tool_choice",
        ),
    ],
)
def test_tools_are_checked(door, fields, param):
    error = refused(door, "/v1/chat/completions", {**CHAT, **fields})

    assert error["param"].startswith(param)


CALL = {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "assistant", "content": None}, "messages[0].content"),
        ({"role": "user", "content": "a", "tool_calls": [CALL]}, "messages[0].tool_calls"),
        ({"role": "tool", "content": "a"}, "messages[0].tool_call_id"),
        ({"role": "user", "content": "a", "tool_call_id": "1"}, "messages[0].tool_call_id"),
        (
            {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "look"}}]},
            "messages[0].tool_calls[0].function.arguments",
        ),
    ],
)
def test_messages_about_tools_are_checked(door, message, param):
    error = refused(door, "/v1/chat/completions", {**CHAT, "messages": [message]})

    assert error["param"] == param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"logprobs": 21}, "logprobs"),
        ({"logprobs": True}, "logprobs"),
        ({"best_of": 0}, "best_of"),
        ({"best_of": 21}, "best_of"),
        ({"best_of": 2, "n": 3}, "best_of"),
        ({"best_of": 2, "stream": True}, "best_of"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"tools": [TOOL]}, "tools"),
    ],
)
def test_decoding_options_of_completions_are_checked(door, fields, param):
    error = refused(door, "/v1/completions", {"model": "gecko", "prompt": "hi", **fields})

    assert error["param"] == param


def test_two_different_bounds_on_tokens_are_refused(door):
    both = {"max_tokens": 1, "max_completion_tokens": 2}

    assert refused(door, "/v1/chat/completions", {**CHAT, **both})["param"] == "max_tokens"


@pytest.mark.parametrize(
    "prompt", [[], [[]], ["a", 1], [1, "a"], [-1], [True], 3, {}, ["a"] * 65, [[1], "a"], None]
)
def test_completions_refuse_prompts_that_are_none(door, prompt):
    error = refused(door, "/v1/completions", {"model": "gecko", "prompt": prompt})

    assert error["param"] == "prompt"


@pytest.mark.parametrize("given", ["", [], [""], [[]], ["a"] * 2049])
def test_embeddings_refuse_inputs_that_are_none(door, given):
    error = refused(door, "/v1/embeddings", {"model": "tiny-encoder", "input": given})

    assert error["param"] == "input"


def test_embeddings_refuse_no_dimensions(door):
    asked = {"model": "tiny-encoder", "input": "a", "dimensions": 0}

    assert refused(door, "/v1/embeddings", asked)["param"] == "dimensions"


def test_a_chat_model_does_not_embed(door):
    response = door.client.post("/v1/embeddings", json={"model": "gecko", "input": "a"})

    assert response.status_code == 400
    assert response.json()["error"]["param"] == "model"


def test_an_unknown_model_is_404(door):
    error = refused(door, "/v1/chat/completions", {**CHAT, "model": "gpt-9"}, 404)

    assert error["code"] == "model_not_found"
    assert "gecko" in error["message"]


def test_strict_forbids_the_fallback(door):
    asked = {**CHAT, "model": "bison"}
    allowed = door.client.post("/v1/chat/completions", json=asked)
    forbidden = door.client.post(
        "/v1/chat/completions", json=asked, headers={"x-bestiary-strict": "true"}
    )

    assert allowed.headers["x-bestiary-route-reason"] == "fallback-not-installed"
    assert allowed.headers["x-bestiary-tier"] == "gecko"
    assert forbidden.status_code == 404
    assert forbidden.json()["error"]["code"] == "model_not_installed"


@pytest.mark.parametrize("asked", [{}, {"text": "a", "messages": CHAT["messages"]}])
def test_tokenize_wants_exactly_one(door, asked):
    refused(door, "/v1/tokenize", {"model": "gecko", **asked})
