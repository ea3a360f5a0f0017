"""Bad input and failures anywhere: always a typed error in the caller's dialect."""

from __future__ import annotations

import json

import pytest

from bestiary.errors import (
    BestiaryError,
    ContextOverflow,
    DeadlineExceeded,
    EngineFailure,
    Overloaded,
    ReplicaLost,
    every_error,
)
from services.gateway.dialects.openai import OPENAI
from services.gateway.dialects.palm import PALM
from services.gateway.error_mapping import MethodNotAllowed, public

CHAT = {"model": "gecko", "messages": [{"role": "user", "content": "hello big world"}]}
EXPECTED = {
    "invalid_request": (400, 400),
    "invalid_training_file": (400, 400),
    "context_length_exceeded": (400, 400),
    "unsupported_parameter": (400, 400),
    "request_too_large": (413, 400),
    "image_unreadable": (400, 400),
    "image_too_large": (400, 400),
    "invalid_api_key": (401, 401),
    "permission_denied": (403, 403),
    "not_found": (404, 404),
    "model_not_found": (404, 404),
    "model_not_installed": (404, 404),
    "method_not_allowed": (405, 404),
    "conflict": (409, 409),
    "superseded": (409, 409),
    "rate_limit_exceeded": (429, 429),
    "overloaded": (429, 429),
    "unavailable": (503, 503),
    "replica_lost": (503, 503),
    "deadline_exceeded": (504, 504),
}


@pytest.mark.parametrize("cls", every_error())
def test_every_error_has_its_status_in_both_dialects(cls):
    told = public(cls("why"), "r1")

    expected = EXPECTED.get(cls.code, (500, 500))
    assert (OPENAI.errors.status(told), PALM.errors.status(told)) == expected


@pytest.mark.parametrize("cls", every_error())
def test_every_error_before_the_first_token_reaches_the_caller_typed(door, cls):
    door.router.refusal = cls("secret detail")

    response = door.client.post("/v1/chat/completions", json={**CHAT, "stream": True})

    assert response.status_code == EXPECTED.get(cls.code, (500, 500))[0]
    assert response.json()["error"]["code"] == cls.code
    assert ("secret detail" in response.text) == (response.status_code != 500)


@pytest.mark.parametrize("cls", every_error())
def test_every_error_in_mid_stream_is_an_event_and_closes_the_call(door, cls):
    door.router.fail_at, door.router.failure = 2, cls("secret detail")

    response = door.client.post("/v1/chat/completions", json={**CHAT, "stream": True})

    last = response.text.removesuffix("\n\n").split("\n\n")[-1]
    error = json.loads(last.removeprefix("data: "))["error"]
    assert error["code"] == cls.code
    assert "[DONE]" not in response.text
    assert door.router.calls[0].closed == 1
    [(_, tags)] = door.sink.values["bestiary_requests_total"]
    assert tags["status"] == str(EXPECTED.get(cls.code, (500, 500))[0])


@pytest.mark.parametrize("cls", [EngineFailure, ReplicaLost, DeadlineExceeded])
def test_an_error_in_a_whole_answer_is_its_status_and_closes_the_call(door, cls):
    door.router.fail_at, door.router.failure = 2, cls("why")

    response = door.client.post("/v1/chat/completions", json=CHAT)

    assert response.json()["error"]["code"] == cls.code
    assert door.router.calls[0].closed == 1


def test_one_failing_prompt_of_several_closes_all_calls(door):
    door.router.fail_at, door.router.failure = 1, ReplicaLost("gone")

    response = door.client.post("/v1/completions", json={"model": "gecko", "prompt": ["a", "b"]})

    assert response.status_code == 503
    assert [call.closed for call in door.router.calls] == [1, 1]


def test_overload_says_when_to_come_back(door):
    door.router.refusal = Overloaded("full", 2.5)

    response = door.client.post("/v1/chat/completions", json=CHAT)

    assert response.status_code == 429
    assert response.headers["retry-after"] == "3"
    assert response.headers["retry-after-ms"] == "2500"


def test_a_prompt_over_the_context_is_a_400_with_openais_code(door):
    long = [{"role": "user", "content": "word " * 1000}]

    response = door.client.post("/v1/chat/completions", json={**CHAT, "messages": long})

    assert response.status_code == 400
    assert response.json()["error"]["code"] == ContextOverflow.code
    assert response.json()["error"]["param"] == "messages"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1beta2/models/m:generateText"])
def test_what_nobody_expected_is_a_typed_500_without_internals(door, path, caplog):
    door.router.refusal = RuntimeError("pid 17 at 10.0.0.3")
    body = CHAT if path.startswith("/v1/") else {"prompt": {"text": "a"}}

    response = door.client.post(
        path.replace("/m:", "/gecko:"), json=body, headers={"x-request-id": "r-17"}
    )

    assert response.status_code == 500
    assert "pid 17" not in response.text
    assert "r-17" in response.json()["error"]["message"]
    assert response.headers["x-request-id"] == "r-17"
    assert "pid 17" in caplog.text


def test_what_nobody_expected_in_mid_stream_is_an_event(door, caplog):
    door.router.fail_at, door.router.failure = 1, RuntimeError("pid 17")

    text = door.client.post("/v1/chat/completions", json={**CHAT, "stream": True}).text

    assert '"code":"internal"' in text
    assert "pid 17" not in text
    assert "pid 17" in caplog.text


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'"x"', b"\xff\xfe", b'{"a":' * 2000, b"NaN"]
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1beta/models/gecko:generateText"])
def test_a_body_that_is_no_json_object_is_400(door, content, path):
    response = door.client.post(path, content=content)

    assert response.status_code == 400
    assert "JSON" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/v1/nowhere", 404),
        ("GET", "/v1/chat/completions", 405),
        ("POST", "/v1/models", 405),
    ],
)
def test_a_path_or_method_that_is_not_there_is_typed(door, method, path, status):
    response = door.client.request(method, path)

    assert response.status_code == status
    assert response.json()["error"]["type"] == "invalid_request_error"
    if status == 405:
        assert response.json()["error"]["code"] == MethodNotAllowed.code
        assert "allow" in response.headers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-bestiary-timeout", "soon"),
        ("x-bestiary-timeout", "0"),
        ("x-bestiary-timeout", "-1"),
        ("x-bestiary-timeout", "inf"),
        ("x-bestiary-strict", "perhaps"),
        ("x-bestiary-receipt", "everywhere"),
    ],
)
def test_a_bad_wish_in_a_header_is_400_and_names_it(door, name, value):
    response = door.client.post("/v1/chat/completions", json=CHAT, headers={name: value})

    assert response.status_code == 400
    assert response.json()["error"]["param"] == name


def test_a_deadline_that_passes_is_504_and_closes_the_call(door):
    door.router.stall_after = 1

    response = door.client.post(
        "/v1/chat/completions", json=CHAT, headers={"x-bestiary-timeout": "0.2"}
    )

    assert response.status_code == 504
    assert response.json()["error"]["code"] == "deadline_exceeded"
    assert door.router.calls[0].closed == 1


def test_a_deadline_that_passes_in_mid_stream_is_an_event(door):
    door.router.stall_after = 2

    response = door.client.post(
        "/v1/chat/completions",
        json={**CHAT, "stream": True},
        headers={"x-bestiary-timeout": "0.2"},
    )

    assert '"code":"deadline_exceeded"' in response.text
    assert door.router.calls[0].closed == 1


def test_the_deadline_goes_on_to_the_replica(door):
    door.client.post("/v1/chat/completions", json=CHAT, headers={"x-bestiary-timeout": "3"})

    assert 2.5 < door.router.requests[0].deadline_s <= 3


def test_root_of_the_error_tree_is_internal():
    assert public(BestiaryError("x"), "r").kind.status == 500
