"""The PaLM dialect: every method, on all three version prefixes, and Google's errors."""

from __future__ import annotations

import pytest

VERSIONS = ("v1beta2", "v1beta3", "v1beta")
ALT = "?$alt=json;enum-encoding=int"


def call(door, method, body, model="text-bison-001", version="v1beta2"):
    return door.client.post(f"/{version}/models/{model}:{method}{ALT}", json=body)


@pytest.mark.parametrize("version", VERSIONS)
def test_generate_text_on_every_version(door, version):
    response = call(door, "generateText", {"prompt": {"text": "a b"}}, version=version)

    assert response.json() == {"candidates": [{"output": "You said: a b"}]}
    assert response.headers["x-bestiary-tier"] == "gecko"


def test_generate_text_hands_every_field_over(door):
    call(
        door,
        "generateText",
        {
            "prompt": {"text": "a"},
            "temperature": 0.5,
            "candidateCount": 2,
            "maxOutputTokens": 9,
            "topP": 0.9,
            "topK": 3,
            "stopSequences": ["x"],
            "safetySettings": [{"category": 1, "threshold": "BLOCK_NONE"}],
        },
    )

    request = door.router.requests[0]
    assert request.messages[0].content == "a"
    assert request.candidates == 2
    assert request.sampling.model_dump() == {
        "max_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 3,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "logit_bias": {},
        "seed": None,
        "stop": ("x",),
        "logprobs": None,
    }


@pytest.mark.parametrize(
    ("method", "prompt"),
    [
        ("generateText", {"text": "a"}),
        ("generateMessage", {"messages": [{"content": "a"}]}),
    ],
)
@pytest.mark.parametrize("name", ["responseFormat", "response_format"])
def test_an_answer_can_be_held_to_a_schema(door, method, prompt, name):
    schema = {"type": "object", "properties": {"b": {"type": "integer"}}}
    asked = {"prompt": prompt, name: {"type": "json_object", "value": schema}}

    answer = call(door, method, asked).json()["candidates"][0]

    assert answer.get("output", answer.get("content")) == '{"b": 7}'
    constraint = door.router.requests[0].constraint
    assert (constraint.kind, constraint.param) == ("json_schema", "responseFormat")


def test_a_response_format_of_text_asks_for_nothing(door):
    asked = {"prompt": {"text": "a"}, "responseFormat": {"type": "text"}}

    assert call(door, "generateText", asked).is_success
    assert door.router.requests[0].constraint is None


def test_candidates_are_unique(door):
    body = call(door, "generateText", {"prompt": {"text": "a"}, "candidateCount": 3}).json()

    assert [one["output"] for one in body["candidates"]] == ["You said: a", "You said: a (2)"]


def test_a_model_name_may_hold_an_at_sign(door):
    response = call(door, "generateText", {"prompt": {"text": "a"}}, model="text-bison%40001")

    assert response.status_code == 200
    assert door.router.routes[0].model == "text-bison@001"


def test_generate_message_gives_context_and_examples_to_the_model(door):
    prompt = {
        "context": "be kind",
        "examples": [{"input": {"content": "q"}, "output": {"content": "a"}}],
        "messages": [
            {"author": "0", "content": "one"},
            {"author": "1", "content": "two"},
            {"author": "0", "content": "three"},
        ],
    }
    body = call(door, "generateMessage", {"prompt": prompt}, model="chat-bison-001").json()

    assert body["candidates"] == [{"author": "1", "content": "You said: three"}]
    assert body["messages"] == prompt["messages"]
    sent = [(one.role, one.content) for one in door.router.requests[0].messages]
    assert sent == [
        ("system", "be kind"),
        ("user", "q"),
        ("assistant", "a"),
        ("user", "one"),
        ("assistant", "two"),
        ("user", "three"),
    ]


def test_messages_without_authors_take_turns(door):
    prompt = {"messages": [{"content": "one"}, {"content": "two"}, {"content": "three"}]}
    call(door, "generateMessage", {"prompt": prompt})

    assert [one.role for one in door.router.requests[0].messages] == ["user", "assistant", "user"]


def test_embed_text_and_batches(door):
    model = "embedding-gecko-001"
    one = call(door, "embedText", {"text": "abc"}, model).json()
    some = call(door, "batchEmbedText", {"texts": ["a", "abc"]}, model).json()
    later = call(door, "batchEmbedText", {"requests": [{"text": "abc"}]}, model, "v1beta").json()

    assert one["embedding"]["value"] == some["embeddings"][1]["value"]
    assert later["embeddings"][0] == one["embedding"]


def test_token_counts(door):
    text = call(door, "countTextTokens", {"prompt": {"text": "a b c"}}).json()
    prompt = {"messages": [{"content": "a b"}]}
    message = call(door, "countMessageTokens", {"prompt": prompt}).json()

    assert (text, message) == ({"tokenCount": 3}, {"tokenCount": 2})


def test_models_tell_methods_and_limits(door):
    chat = door.client.get("/v1beta2/models/text-bison-001").json()
    vectors = door.client.get("/v1beta3/models/embedding-gecko-001").json()

    assert chat["name"] == "models/text-bison-001"
    assert chat["inputTokenLimit"] == 256  # the profile's context, under the card's
    assert "generateMessage" in chat["supportedGenerationMethods"]
    assert chat["topK"] == 7
    assert vectors["supportedGenerationMethods"][:2] == ["embedText", "batchEmbedText"]


def test_models_are_paged(door):
    first = door.client.get("/v1beta/models?pageSize=3").json()
    rest = door.client.get(f"/v1beta/models?pageToken={first['nextPageToken']}").json()
    every = door.client.get("/v1beta/models").json()

    assert len(first["models"]) == 3
    assert first["models"] + rest["models"] == every["models"]
    assert "nextPageToken" not in rest


@pytest.mark.parametrize(
    ("method", "body", "param"),
    [
        ("generateText", {}, "prompt"),
        ("generateText", {"prompt": {"text": ""}}, "prompt.text"),
        ("generateText", {"prompt": {"text": "a"}, "temperature": -1}, "temperature"),
        ("generateText", {"prompt": {"text": "a"}, "candidateCount": 0}, "candidateCount"),
        ("generateText", {"prompt": {"text": "a"}, "maxOutputTokens": 0}, "maxOutputTokens"),
        ("generateText", {"prompt": {"text": "a"}, "topP": 3}, "topP"),
        ("generateText", {"prompt": {"text": "a"}, "stopSequences": [""]}, "stopSequences[0]"),
        ("generateText", {"prompt": {"text": "a"}, "tempo": 3}, "tempo"),
        ("generateMessage", {"prompt": {"messages": []}}, "prompt.messages"),
        ("embedText", {"text": ""}, "text"),
        ("batchEmbedText", {"texts": []}, "texts"),
        ("batchEmbedText", {"texts": ["a"] * 101}, "texts"),
        ("countTextTokens", {"prompt": "a"}, "prompt"),
    ],
)
def test_a_bad_value_is_an_invalid_argument_that_is_named(door, method, body, param):
    response = call(door, method, body)
    error = response.json()["error"]

    assert response.status_code == 400
    assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")
    assert error["details"][0]["metadata"]["param"] == param
    assert not door.router.requests


def test_errors_are_google_shaped(door):
    unknown = call(door, "generateText", {"prompt": {"text": "a"}}, model="nobody")
    nowhere = door.client.post("/v1beta2/models/text-bison-001:paint", json={})
    keyless = door.client.get("/v1beta2/models", headers={"authorization": ""})

    for response, code, status in (
        (unknown, 404, "NOT_FOUND"),
        (nowhere, 404, "NOT_FOUND"),
        (keyless, 401, "UNAUTHENTICATED"),
    ):
        assert response.status_code == code
        assert response.json()["error"]["code"] == code
        assert response.json()["error"]["status"] == status


@pytest.mark.parametrize("query", ["pageToken=x", "pageSize=-1", "pageToken=99999999999"])
def test_bad_pages_are_refused(door, query):
    assert door.client.get(f"/v1beta/models?{query}").status_code == 400
