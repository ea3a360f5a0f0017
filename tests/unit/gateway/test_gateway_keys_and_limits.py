"""Who may call, how often, and with how large a body."""

from __future__ import annotations

import time

import pytest
from gateway_fakes import FakeDispatcher, FakeSink, gateway_args, no_targets
from starlette.testclient import TestClient

from bestiary.errors import Unavailable
from bestiary.profile.models import Gateway, Limits
from bestiary.state.keys import KeyScope
from services.gateway.application import Collaborators, gateway_application
from services.gateway.auth import BELIEVED_S

CHAT = {"model": "gecko", "messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize("header", ["x-api-key", "x-goog-api-key"])
def test_a_key_may_come_in_any_sdks_header(door, header):
    headers = {"authorization": "", header: door.secret}

    assert door.client.get("/v1/models", headers=headers).status_code == 200


def test_a_key_may_come_in_the_query(door):
    response = door.client.get(f"/v1beta/models?key={door.secret}", headers={"authorization": ""})

    assert response.status_code == 200


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic abc", "Bearer wrong"])
def test_no_key_or_a_wrong_one_is_401(door, header):
    response = door.client.post(
        "/v1/chat/completions", json=CHAT, headers={"authorization": header}
    )

    assert response.status_code == 401
    assert response.json()["error"]["code"] == "invalid_api_key"
    assert response.headers["www-authenticate"] == "Bearer"
    assert not door.router.requests


def test_a_revoked_key_stops_within_a_second(door):
    assert door.client.get("/v1/models").status_code == 200
    [key] = door.keys.list()
    door.keys.revoke(key.id)

    time.sleep(BELIEVED_S + 0.1)

    assert door.client.get("/v1/models").status_code == 401


def test_a_key_without_the_scope_is_403(door):
    secret = door.keys.create("admin only", scopes=[KeyScope.ADMIN]).secret

    response = door.client.get("/v1/models", headers={"authorization": f"Bearer {secret}"})

    assert response.status_code == 403
    assert response.json()["error"]["code"] == "permission_denied"


def test_a_database_that_fails_is_503_and_asked_again(door):
    answers = iter([Unavailable("no database", 2.0), None])

    def look_up(secret):
        answer = next(answers)
        if answer is not None:
            raise answer
        return door.keys.verify(door.secret)

    args = gateway_args()
    others = Collaborators(FakeDispatcher(args), dict, look_up, FakeSink(), no_targets)
    with TestClient(gateway_application(args, others)) as client:
        headers = {"authorization": "Bearer any"}
        first = client.get("/v1/models", headers=headers)
        second = client.get("/v1/models", headers=headers)

    assert first.status_code == 503
    assert first.headers["retry-after"] == "2"
    assert second.status_code == 200


def test_a_key_is_looked_up_once_for_many_requests(door):
    looked_up = []

    def look_up(secret):
        looked_up.append(secret)
        return door.keys.verify(secret)

    args = gateway_args()
    others = Collaborators(FakeDispatcher(args), dict, look_up, FakeSink(), no_targets)
    with TestClient(gateway_application(args, others)) as client:
        for _ in range(5):
            client.get("/v1/models", headers={"authorization": f"Bearer {door.secret}"})

    assert len(looked_up) == 1


def test_a_key_over_its_rate_is_429_with_the_wait(door):
    limited = door.keys.create("slow", requests_per_minute=2).secret
    headers = {"authorization": f"Bearer {limited}"}

    first, second, third = (door.client.get("/v1/models", headers=headers) for _ in range(3))

    assert first.headers["x-ratelimit-limit-requests"] == "2"
    assert first.headers["x-ratelimit-remaining-requests"] == "1"
    assert second.status_code == 200
    assert third.status_code == 429
    assert third.json()["error"]["code"] == "rate_limit_exceeded"
    assert 50 <= int(third.headers["retry-after"]) <= 60
    assert door.client.get("/v1/models").status_code == 200  # others go on


class TestProfilesRate:
    @pytest.fixture
    def limits(self):
        return Limits(requests_per_minute=1)

    def test_holds_for_keys_without_their_own(self, door):
        statuses = [door.client.get("/v1/models").status_code for _ in range(2)]

        assert statuses == [200, 429]


@pytest.mark.parametrize(
    ("path", "status"), [("/v1/chat/completions", 413), ("/v1beta/models/m:generateText", 400)]
)
def test_a_body_of_ten_megabytes_is_refused_by_its_announced_length(door, path, status):
    response = door.client.post(path, content=b"x" * 10 * 2**20)

    assert response.status_code == status
    assert "limit of 262144 bytes" in response.text


def test_a_body_without_a_length_is_cut_at_the_limit(door):
    sent = 0

    def pieces():
        nonlocal sent
        for _ in range(160):
            sent += 2**16
            yield b"x" * 2**16

    response = door.client.post("/v1/chat/completions", content=pieces())

    assert response.status_code == 413
    assert response.json()["error"]["code"] == "request_too_large"


def test_metrics_ask_for_an_admin_key_where_the_profile_says_so(door):
    args = gateway_args(Gateway(open_metrics=False))
    admin = door.keys.create("admin", scopes=[KeyScope.ADMIN]).secret
    with TestClient(gateway_application(args, door.others)) as client:
        closed = client.get("/metrics")
        wrong = client.get("/metrics", headers={"x-api-key": door.secret})
        opened = client.get("/metrics", headers={"x-api-key": admin})

    assert [one.status_code for one in (closed, wrong, opened)] == [401, 403, 200]


def test_work_is_done_for_the_keys_owner_and_at_the_priority_that_was_asked_for(door):
    body = {"model": "gecko", "messages": [{"role": "user", "content": "hello"}]}
    door.client.post("/v1/chat/completions", json=body)
    door.client.post("/v1/chat/completions", json=body, headers={"x-bestiary-priority": "batch"})

    first, second = door.router.requests
    assert first.tenant == second.tenant != ""
    assert (first.priority.value, second.priority.value) == ("interactive", "batch")


def test_an_unknown_priority_names_the_known_ones(door):
    reply = door.client.get("/v1/models", headers={"x-bestiary-priority": "urgent"})
    assert reply.status_code == 400
    assert "interactive, batch" in reply.json()["error"]["message"]
