"""The error tree: which class for which answer, and that each survives pickling."""

from __future__ import annotations

import pickle

import pytest
from scripted_server import Reply, ScriptedServer, refusal

import bestiary_client
from bestiary_client import (
    ApiError,
    BadRequest,
    Bestiary,
    BestiaryError,
    ConnectionFailed,
    ContextOverflow,
    ModelNotFound,
    NotFound,
    Overloaded,
    ServerError,
    TimedOut,
    Unauthenticated,
    Unavailable,
)


@pytest.mark.parametrize(
    ("status", "code", "name"),
    [
        (400, "invalid_request", "BadRequest"),
        (400, "context_length_exceeded", "ContextOverflow"),
        (401, "invalid_api_key", "Unauthenticated"),
        (403, "permission_denied", "PermissionDenied"),
        (404, "not_found", "NotFound"),
        (404, "model_not_found", "ModelNotFound"),
        (404, "model_not_installed", "ModelNotFound"),
        (405, "method_not_allowed", "ApiError"),
        (409, "conflict", "Conflict"),
        (413, "request_too_large", "BadRequest"),
        (422, "x", "BadRequest"),
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
    assert str(error).startswith(f"no: {code}")
    assert str(error).endswith("(request req-1)")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            Overloaded("full", "req-1", 429, "overloaded", None, 2.0),
            "full. Try again in 2 s. (request req-1)",
        ),
        (Unavailable("nobody is there."), "nobody is there. Try again later."),
        (BadRequest("must be over 0", None, 400, None, "n"), "must be over 0. Mend 'n'."),
        (NotFound("no such page"), "no such page"),
        (ServerError("it\n  broke"), "it broke. Should it happen again, tell the operator."),
    ],
)
def test_a_printed_error_is_one_line_that_says_what_to_do(error: BestiaryError, line: str) -> None:
    assert str(error) == line


@pytest.mark.parametrize(
    ("cls", "remedy"),
    [
        (ConnectionFailed, "bestiary up"),
        (Unauthenticated, "BESTIARY_API_KEY"),
        (ModelNotFound, "models.list()"),
        (ContextOverflow, "max_tokens"),
        (TimedOut, "timeout="),
    ],
)
def test_each_error_knows_its_remedy(cls: type[BestiaryError], remedy: str) -> None:
    assert remedy in str(cls("no"))


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
