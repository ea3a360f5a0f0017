"""What goes over the wire and what comes back, blocking and async alike."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator

import pytest
from scripted_server import (
    COUNT,
    Reply,
    ScriptedServer,
    chat_reply,
    completion_reply,
    vectors_reply,
)

from bestiary_client import (
    AsyncBestiary,
    Bestiary,
    Choice,
    UnexpectedReply,
    Usage,
)


@pytest.fixture
def client(server: ScriptedServer) -> Iterator[Bestiary]:
    with Bestiary(base_url=server.url, api_key="sk-1") as connected:
        yield connected


def test_chat_sends_what_was_said_and_nothing_else(
    server: ScriptedServer, client: Bestiary
) -> None:
    server.will(chat_reply())
    client.chat("hi", model="otter", temperature=0, seed=7, stop="\n", max_tokens=5)
    got = server.got[0]
    assert (got.method, got.path) == ("POST", "/v1/chat/completions")
    assert got.body == {
        "model": "otter",
        "messages": [{"role": "user", "content": "hi"}],
        "temperature": 0,
        "seed": 7,
        "stop": ["\n"],
        "max_tokens": 5,
    }
    assert got.headers["authorization"] == "Bearer sk-1"
    assert got.headers["x-bestiary-receipt"] == "body"
    assert "x-bestiary-strict" not in got.headers


def test_chat_gives_the_answer(server: ScriptedServer, client: Bestiary) -> None:
    server.will(chat_reply("sunlight"))
    answer = client.chat([{"role": "user", "content": "why?"}])
    assert (answer.text, answer.finish_reason) == ("sunlight", "stop")
    assert answer.choices == (Choice(0, "sunlight", "stop"),)
    assert answer.usage == Usage(5, 2, cached_tokens=4)
    assert (answer.model, answer.tier) == ("tiny-135m", "gecko")
    assert (answer.route_reason, answer.request_id) == ("requested-tier", "req-1")


def test_the_default_model_is_gecko(server: ScriptedServer, client: Bestiary) -> None:
    server.will(chat_reply())
    client.chat("hi")
    assert server.got[0].body is not None
    assert server.got[0].body["model"] == "gecko"


def test_strict_is_a_header(server: ScriptedServer, client: Bestiary) -> None:
    server.will(chat_reply())
    client.chat("hi", strict=True)
    assert server.got[0].headers["x-bestiary-strict"] == "true"


def test_the_platform_is_told_how_long_anybody_waits(
    server: ScriptedServer, client: Bestiary
) -> None:
    server.will(chat_reply())
    client.chat("hi", timeout=7)
    assert 6 < float(server.got[0].headers["x-bestiary-timeout"]) <= 7


def test_none_is_as_good_as_left_out(server: ScriptedServer, client: Bestiary) -> None:
    server.will(chat_reply())
    client.chat("hi", model=None, temperature=None, stop=None, timeout=None, n=None)
    assert server.got[0].body == {
        "model": "gecko",
        "messages": [{"role": "user", "content": "hi"}],
    }


def test_a_misspelt_option_is_refused(client: Bestiary) -> None:
    misspelt = {"temprature": 0}
    with pytest.raises(TypeError, match=r"unknown option 'temprature'; known: .*temperature"):
        client.chat("hi", **misspelt)  # type: ignore[arg-type]  # what a type checker refuses
    with pytest.raises(TypeError, match="unknown option 'temperature'"):
        client.embed("hi", temperature=0)  # type: ignore[arg-type]  # text only


def test_complete_takes_several_prompts(server: ScriptedServer, client: Bestiary) -> None:
    server.will(completion_reply("a", "b"))
    answer = client.complete(["one", "two"])
    assert [one.text for one in answer.choices] == ["a", "b"]
    assert server.got[0].path == "/v1/completions"


def test_embed_gives_vectors_in_order(server: ScriptedServer, client: Bestiary) -> None:
    server.will(vectors_reply((1.0, 0.0), (0.0, 1.0)))
    result = client.embed(["a", "b"], dimensions=2)
    assert result.vectors == ([1.0, 0.0], [0.0, 1.0])
    assert (len(result), list(result), result[1]) == (2, [[1.0, 0.0], [0.0, 1.0]], [0.0, 1.0])
    assert result.prompt_tokens == 3
    assert server.got[0].body == {
        "model": "auto",
        "input": ["a", "b"],
        "encoding_format": "base64",
        "dimensions": 2,
    }


def test_a_vector_that_is_no_vector_is_told(server: ScriptedServer, client: Bestiary) -> None:
    server.will(Reply(body={"data": [{"index": 0, "embedding": "%%"}], "model": "m"}))
    with pytest.raises(UnexpectedReply, match="base64"):
        client.embed("a")


@pytest.mark.parametrize(
    ("given", "body"),
    [
        ("text", {"model": "gecko", "text": "text"}),
        (
            [{"role": "user", "content": "hi"}],
            {"model": "gecko", "messages": [{"role": "user", "content": "hi"}]},
        ),
    ],
)
def test_count_tokens(
    server: ScriptedServer, client: Bestiary, given: str, body: dict[str, object]
) -> None:
    server.will(COUNT)
    result = client.count_tokens(given)
    assert (result.count, result.tokens) == (3, (1, 2, 3))
    assert server.got[0].body == body


def test_a_reply_that_is_not_ours_is_told(server: ScriptedServer, client: Bestiary) -> None:
    server.will(Reply(body=b"<html>a captive portal</html>"))
    with pytest.raises(UnexpectedReply, match="not JSON"):
        client.chat("hi")


@pytest.mark.parametrize(
    "body", [{}, {"id": 1}, {"id": "x", "model": "m", "choices": []}, {"choices": [1]}, []]
)
def test_a_reply_of_another_shape_is_told(
    server: ScriptedServer, client: Bestiary, body: object
) -> None:
    server.will(Reply(body=body))
    with pytest.raises(UnexpectedReply):
        client.chat("hi")


def test_models_are_listed(server: ScriptedServer, client: Bestiary) -> None:
    told = {"kind": "tier", "family": "text", "tier": "gecko", "card": "t", "context_length": 8}
    server.will(Reply(body={"object": "list", "data": [{"id": "gecko", "bestiary": told}]}))
    (model,) = client.models.list()
    assert (model.id, model.kind, model.context_length) == ("gecko", "tier", 8)


def test_a_list_is_followed_over_its_pages(server: ScriptedServer, client: Bestiary) -> None:
    server.will(
        Reply(body={"data": [{"id": "a"}, {"id": "b"}], "has_more": True, "last_id": "b"}),
        Reply(body={"data": [{"id": "c"}], "has_more": False, "last_id": "c"}),
    )
    assert [model.id for model in client.models.list()] == ["a", "b", "c"]
    assert [got.path for got in server.got] == ["/v1/models", "/v1/models?after=b"]


def test_a_list_that_would_never_end_is_refused(server: ScriptedServer, client: Bestiary) -> None:
    server.will(Reply(body={"data": [{"id": "a"}], "has_more": True, "last_id": "a"}))
    with pytest.raises(UnexpectedReply, match="not where"):
        list(client.models.list())


def test_a_models_name_is_quoted(server: ScriptedServer, client: Bestiary) -> None:
    server.will(Reply(body={"id": "ft:a/b"}))
    assert client.models.get("ft:a/b").id == "ft:a/b"
    assert server.got[0].path == "/v1/models/ft%3Aa%2Fb"


async def test_the_async_client_says_and_gives_the_same(server: ScriptedServer) -> None:
    async with AsyncBestiary(base_url=server.url, api_key="sk-1") as client:
        server.will(chat_reply("sunlight"))
        assert (await client.chat("why?", model="otter")).text == "sunlight"
        server.will(completion_reply("a"))
        assert (await client.complete("p")).text == "a"
        server.will(vectors_reply((1.0, 0.0)))
        assert (await client.embed("a")).vectors == ([1.0, 0.0],)
        server.will(COUNT)
        assert (await client.count_tokens("a")).count == 3
        server.will(Reply(body={"id": "gecko"}))
        assert (await client.models.get("gecko")).id == "gecko"


async def test_the_async_list_is_followed_over_its_pages(server: ScriptedServer) -> None:
    server.will(
        Reply(body={"data": [{"id": "a"}], "has_more": True, "last_id": "a"}),
        Reply(body={"data": [{"id": "b"}], "has_more": False}),
    )
    async with AsyncBestiary(base_url=server.url) as client:
        assert [model.id async for model in client.models.list()] == ["a", "b"]


def test_a_client_that_nobody_closes_leaves_no_socket_open(server: ScriptedServer) -> None:
    server.will(chat_reply())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Bestiary(base_url=server.url).chat("hi")
        gc.collect()
    assert [one for one in caught if one.category is ResourceWarning] == []


def test_a_list_keeps_its_client_open(server: ScriptedServer) -> None:
    server.will(Reply(body={"data": [{"id": "gecko"}]}))
    assert [model.id for model in Bestiary(base_url=server.url).models.list()] == ["gecko"]
