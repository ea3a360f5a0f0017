"""The error tree: which class for which answer, and that each survives pickling."""

from __future__ import annotations

import pickle

import pytest
from scripted_server import Reply, ScriptedServer, refusal

import bestiary_client
from bestiary_client import ApiError, Bestiary, BestiaryError


@pytest.mark.parametrize(
    ("status", "code", "name"),
    [
        (400, "invalid_request", "InvalidRequest"),
        (400, "context_length_exceeded", "ContextOverflow"),
        (401, "invalid_api_key", "Unauthenticated"),
        (403, "permission_denied", "PermissionDenied"),
        (404, "not_found", "NotFound"),
        (404, "model_not_found", "ModelNotFound"),
        (404, "model_not_installed", "ModelNotFound"),
        (405, "method_not_allowed", "ApiError"),
        (409, "conflict", "Conflict"),
        (413, "request_too_large", "InvalidRequest"),
        (422, "x", "InvalidRequest"),
        (429, "rate_limit_exceeded", "RateLimited"),
        (429, "overloaded", "Overloaded"),
        (500, "engine_failure", "ServerError"),
        (502, "x", "Unavailable"),
        (503, "replica_lost", "Unavailable"),
        (504, "deadline_exceeded", "DeadlineExceeded"),
    ],
)
def test_each_answer_has_its_class(
    server: ScriptedServer, status: int, code: str, name: str
) -> None:
    server.will(refusal(status, code, {"retry-after": "2"}, param="model"))
    with (
        pytest.raises(ApiError) as caught,
        Bestiary(base_url=server.url, max_retries=0) as client,
    ):
        client.chat("hi")
    error = caught.value
    assert type(error).__name__ == name
    assert (error.status_code, error.code, error.param) == (status, code, "model")
    assert (error.request_id, error.retry_after) == ("req-1", 2.0)
    assert str(error) == f"no: {code} (request req-1)"


def test_an_answer_by_a_proxy_is_an_api_error(server: ScriptedServer) -> None:
    server.will(Reply(status=502, body=b"<h1>Bad Gateway</h1>"))
    with (
        pytest.raises(bestiary_client.Unavailable, match="Bad Gateway"),
        Bestiary(base_url=server.url, max_retries=0) as client,
    ):
        client.chat("hi")


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in bestiary_client.__all__
        if isinstance(getattr(bestiary_client, name), type)
        and issubclass(getattr(bestiary_client, name), BestiaryError)
    ],
)
def test_every_error_pickles(name: str) -> None:
    cls = getattr(bestiary_client, name)
    fields = (503, "code", "param", 1.5) if issubclass(cls, ApiError) else ()
    error = cls("text", "req-1", *fields)
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), vars(copy), str(copy)) == (cls, vars(error), str(error))
