"""The OpenAI dialect: every route, whole and streamed, as its SDK reads it."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

USER = [{"role": "user", "content": "hello big world"}]
ANSWER = "You said: hello big world"


def events(text: str) -> list[Any]:
    lines = [line for line in text.split("\n") if line.startswith("data: ")]
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def chat(door, **more):
    return door.client.post(
        "/v1/chat/completions", json={"model": "gecko", "messages": USER, **more}
    )


def test_chat_answers_with_usage(door):
    body = chat(door).json()

    assert body["object"] == "chat.completion"
    assert body["model"] == "tiny-instruct"
    assert body["choices"][0]["message"] == {
        "role": "assistant",
        "content": ANSWER,
        "refusal": None,
    }
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["usage"]["prompt_tokens"] == 3
    assert body["usage"]["total_tokens"] == 8


def test_chat_hands_every_sampling_field_over(door):
    chat(
        door,
        max_completion_tokens=3,
        temperature=0.5,
        top_p=0.9,
        top_k=4,
        min_p=0.1,
        repetition_penalty=1.5,
        presence_penalty=-1,
        frequency_penalty=1,
        logit_bias={"50": -100, "7": 1.5},
        logprobs=True,
        top_logprobs=3,
        seed=7,
        stop="x",
        n=2,
        user="u",
        metadata={"a": "b"},
        store=False,
    )

    request = door.router.requests[0]
    assert request.sampling.model_dump() == {
        "max_tokens": 3,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 4,
        "min_p": 0.1,
        "repetition_penalty": 1.5,
        "presence_penalty": -1,
        "frequency_penalty": 1,
        "logit_bias": {50: -100, 7: 1.5},
        "seed": 7,
        "stop": ("x",),
        "logprobs": 3,
    }
    assert request.candidates == 2


def test_what_the_caller_does_not_say_the_card_advises(door):
    chat(door)

    sampling = door.router.requests[0].sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k) == (0.25, 0.5, 7)
    assert sampling.max_tokens is None


def test_content_parts_are_joined_and_developer_is_system(door):
    messages = [
        {"role": "developer", "content": "be brief"},
        {
            "role": "user",
            "content": [{"type": "text", "text": "a "}, {"type": "text", "text": "b"}],
        },
    ]

    assert chat(door, messages=messages).status_code == 200
    sent = door.router.requests[0].messages
    assert [(one.role, one.content) for one in sent] == [("system", "be brief"), ("user", "a b")]


def test_an_earlier_reply_can_be_sent_back_as_the_sdk_dumps_it(door):
    reply = {
        "role": "assistant",
        "content": "hi",
        "refusal": None,
        "annotations": [],
        "audio": None,
        "function_call": None,
        "tool_calls": None,
    }

    assert chat(door, messages=[*USER, reply, *USER]).status_code == 200


def test_max_tokens_cuts_with_reason_length(door):
    choice = chat(door, max_tokens=2).json()["choices"][0]

    assert choice["message"]["content"] == "You said:"
    assert choice["finish_reason"] == "length"


def test_n_choices_are_numbered_and_their_prompt_counts_once(door):
    body = chat(door, n=3).json()

    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    assert body["choices"][2]["message"]["content"] == ANSWER + " (2)"
    assert body["usage"]["prompt_tokens"] == 3
    assert body["usage"]["completion_tokens"] == 5 + 5 + 6


def test_a_stream_tells_the_role_first_the_reason_last_and_then_done(door):
    response = chat(door, stream=True)
    frames = events(response.text)

    assert response.headers["content-type"].startswith("text/event-stream")
    assert frames[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    said = "".join(frame["choices"][0]["delta"].get("content", "") for frame in frames)
    assert said == ANSWER
    assert frames[-1]["choices"][0]["finish_reason"] == "stop"
    assert all("usage" not in frame for frame in frames)


def test_a_stream_with_usage_ends_with_a_chunk_without_choices(door):
    frames = events(chat(door, stream=True, stream_options={"include_usage": True}).text)

    assert frames[-1]["choices"] == []
    assert frames[-1]["usage"]["completion_tokens"] == 5
    assert frames[0]["usage"] is None


def test_a_stream_of_several_choices_keeps_them_apart(door):
    frames = events(chat(door, stream=True, n=3).text)

    third = [f["choices"][0] for f in frames if f["choices"][0]["index"] == 2]
    assert "".join(one["delta"].get("content", "") for one in third) == ANSWER + " (2)"
    assert [one["finish_reason"] for one in third][-1] == "stop"


def test_a_stream_brings_its_receipt_as_a_comment_before_done(door):
    text = chat(door, stream=True).text

    comment = text.split("\n\n")[-3]
    assert comment.startswith(": bestiary-receipt ")
    told = json.loads(comment.removeprefix(": bestiary-receipt "))
    assert told["tier"] == "gecko"
    assert told["receipt"]["total"] > 0


@pytest.mark.parametrize("include_usage", [False, True])
def test_a_stream_brings_its_receipt_in_the_last_chunk_where_asked(door, include_usage):
    response = door.client.post(
        "/v1/chat/completions",
        json={
            "model": "gecko",
            "messages": USER,
            "stream": True,
            "stream_options": {"include_usage": include_usage},
        },
        headers={"x-bestiary-receipt": "body"},
    )

    frames = events(response.text)
    assert frames[-1]["bestiary"]["model"] == "tiny-instruct"
    assert all("bestiary" not in frame for frame in frames[:-1])


def test_completions_default_to_sixteen_tokens(door):
    body = door.client.post("/v1/completions", json={"model": "gecko", "prompt": "hi"}).json()

    assert body["object"] == "text_completion"
    assert body["choices"][0]["text"] == "You said: hi"
    assert door.router.requests[0].sampling.max_tokens == 16


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        (["a", "b"], ["You said: a", "You said: b"]),
        ([1, 2], ["You said: 1 2"]),
        ([[1], [2, 3]], ["You said: 1", "You said: 2 3"]),
    ],
)
def test_completions_take_several_prompts_and_token_ids(door, prompt, said):
    body = door.client.post("/v1/completions", json={"model": "gecko", "prompt": prompt}).json()

    assert [choice["text"] for choice in body["choices"]] == said
    assert [choice["index"] for choice in body["choices"]] == list(range(len(said)))


def test_choices_of_several_prompts_are_numbered_prompt_by_prompt(door):
    body = door.client.post(
        "/v1/completions", json={"model": "gecko", "prompt": ["a", "b"], "n": 3}
    ).json()

    assert [choice["text"][10:] for choice in body["choices"]] == [
        "a", "a", "a (2)", "b", "b", "b (2)",
    ]  # fmt: skip


def test_completions_of_several_prompts_stream_side_by_side(door):
    response = door.client.post(
        "/v1/completions", json={"model": "gecko", "prompt": ["a", "b"], "stream": True}
    )

    said = {0: "", 1: ""}
    for frame in events(response.text):
        said[frame["choices"][0]["index"]] += frame["choices"][0]["text"]
    assert said == {0: "You said: a", 1: "You said: b"}


def test_echo_repeats_the_prompt(door):
    body = door.client.post(
        "/v1/completions", json={"model": "gecko", "prompt": "hi", "echo": True}
    ).json()

    assert body["choices"][0]["text"] == "hi You said: hi"


def test_embeddings_as_numbers_and_as_base64_are_equal(door):
    asked = {"model": "tiny-encoder", "input": ["a", "bcd"]}
    floats = door.client.post("/v1/embeddings", json=asked).json()
    packed = door.client.post("/v1/embeddings", json={**asked, "encoding_format": "base64"}).json()

    for one, other in zip(floats["data"], packed["data"], strict=True):
        assert (
            one["embedding"]
            == np.frombuffer(base64.b64decode(other["embedding"]), dtype="<f4").tolist()
        )
    assert floats["usage"] == {"prompt_tokens": 2, "total_tokens": 2}


def test_embeddings_take_dimensions_and_token_ids(door):
    body = door.client.post(
        "/v1/embeddings", json={"model": "tiny-encoder", "input": [[1, 2]], "dimensions": 4}
    ).json()

    assert len(body["data"][0]["embedding"]) == 4
    assert door.router.requests[0].inputs == ((1, 2),)


def test_models_lists_every_name_and_retrieves_each(door):
    listed = door.client.get("/v1/models").json()

    names = [model["id"] for model in listed["data"]]
    assert {"auto", "gecko", "bison", "tiny-instruct", "text-bison@001"} <= set(names)
    for name in names:
        assert door.client.get(f"/v1/models/{name}").json()["id"] == name


def test_an_unknown_model_is_not_found_under_models_too(door):
    response = door.client.get("/v1/models/ft:nobody")

    assert response.status_code == 404
    assert response.json()["error"]["code"] == "model_not_found"


@pytest.mark.parametrize(
    "asked", [{"text": "a b c"}, {"messages": [{"role": "user", "content": "a b c"}]}]
)
def test_tokenize_counts_text_and_messages(door, asked):
    body = door.client.post("/v1/tokenize", json={"model": "gecko", **asked}).json()

    assert body["count"] == 3
    assert body["tokens"] == [0, 1, 2]


def test_tokenize_works_for_encoders(door):
    body = door.client.post("/v1/tokenize", json={"model": "tiny-encoder", "text": "a b"}).json()

    assert body["count"] == 2
    assert body["model"] == "tiny-encoder"
