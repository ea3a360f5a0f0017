"""Receipts and metrics: on every reply, and they add up."""

from __future__ import annotations

import json
import re

import pytest
from gateway_fakes import gateway_args
from starlette.testclient import TestClient

from bestiary.telemetry.receipt import LatencyReceipt
from services.gateway.application import gateway_application

CHAT = {"model": "gecko", "messages": [{"role": "user", "content": "hello big world"}]}


def receipt(response):
    return LatencyReceipt.parse(response.headers["server-timing"])


def adds_up(found: LatencyReceipt) -> bool:
    return abs(found.unaccounted) <= 0.05 * found.total


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", CHAT),
        ("/v1/completions", {"model": "gecko", "prompt": ["a", "b c"]}),
        ("/v1beta/models/gecko:generateText", {"prompt": {"text": "a"}}),
    ],
)
def test_a_whole_answers_stages_add_up_to_the_total(door, path, body):
    door.router.step_s = 0.02

    found = receipt(door.client.post(path, json=body))

    assert found.total > 20
    assert found.gateway > 0
    assert found.decode > found.queue > 0
    assert adds_up(found), found


def test_a_streams_stages_add_up_to_the_total(door):
    door.router.step_s = 0.02

    text = door.client.post("/v1/chat/completions", json={**CHAT, "stream": True}).text

    told = json.loads(re.search(r": bestiary-receipt (.*)", text)[1])
    found = LatencyReceipt(**told["receipt"])
    assert found.total > 100
    assert adds_up(found), found


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/models"), ("GET", "/nowhere"), ("POST", "/v1/embeddings")]
)
def test_what_needs_no_model_is_all_gateway(door, method, path):
    found = receipt(door.client.request(method, path))

    assert found.gateway == found.total > 0


def test_the_route_is_on_the_reply(door):
    headers = door.client.post("/v1/chat/completions", json={**CHAT, "model": "auto"}).headers

    assert headers["x-bestiary-tier"] == "gecko"
    assert headers["x-bestiary-model"] == "tiny-instruct"
    assert headers["x-bestiary-route-reason"] == "auto"


def test_the_route_is_on_the_head_of_a_stream(door):
    headers = door.client.post("/v1/chat/completions", json={**CHAT, "stream": True}).headers

    assert headers["x-bestiary-tier"] == "gecko"
    assert "server-timing" not in headers


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/none"])
def test_the_receipt_is_in_the_body_where_asked(door, path):
    response = door.client.get(path, headers={"x-bestiary-receipt": "body"})

    told = response.json()["bestiary"]
    assert told["receipt"]["total"] > 0
    assert told["request_id"] == response.headers["x-request-id"]
    assert int(response.headers["content-length"]) == len(response.content)


def test_the_body_has_no_receipt_unasked(door):
    assert "bestiary" not in door.client.post("/v1/chat/completions", json=CHAT).json()


@pytest.mark.parametrize("given", ["abc-1", "A.b:c_9"])
def test_a_sane_request_id_is_echoed(door, given):
    response = door.client.get("/v1/models", headers={"x-request-id": given})

    assert response.headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "a\tb", "<script>"])
def test_another_request_id_is_replaced(door, given):
    response = door.client.get("/v1/models", headers={"x-request-id": given})

    assert re.fullmatch(r"[0-9a-f]{32}", response.headers["x-request-id"])


def test_the_request_id_goes_on_to_the_replica(door):
    door.client.post("/v1/chat/completions", json=CHAT, headers={"x-request-id": "r1"})

    assert door.router.requests[0].request_id == "r1"


def test_a_request_is_counted_and_timed_once(door):
    door.router.step_s = 0.01
    door.client.post("/v1/chat/completions", json=CHAT)

    values = door.sink.values
    served = {"model": "tiny-instruct", "tier": "gecko", "dialect": "openai"}
    assert values["bestiary_requests_total"] == [(1, {**served, "status": "200"})]
    assert values["bestiary_prompt_tokens_total"] == [(3, served)]
    assert values["bestiary_generation_tokens_total"] == [(5, served)]
    assert values["bestiary_routes_total"] == [
        (1, {"asked": "gecko", "tier": "gecko", "reason": "requested-tier"})
    ]
    [(first, _)] = values["bestiary_time_to_first_token_seconds"]
    [(gap, _)] = values["bestiary_inter_token_latency_seconds"]
    [(total, _)] = values["bestiary_e2e_request_latency_seconds"]
    assert 0.01 <= first < total
    assert 0.008 <= gap < 0.1
    for stage in ("gateway", "routing", "framework", "queue", "prefill", "decode"):
        assert len(values[f"bestiary_request_{stage}_time_seconds"]) == 1


def test_a_refused_request_is_counted_without_a_model(door):
    door.client.post("/v1/chat/completions", json={**CHAT, "n": 0})

    [(_, tags)] = door.sink.values["bestiary_requests_total"]
    assert tags == {"model": "unknown", "tier": "unknown", "dialect": "openai", "status": "400"}
    assert door.sink.values["bestiary_routes_total"] == []


def test_an_unknown_model_adds_no_label(door):
    door.client.post("/v1/chat/completions", json={**CHAT, "model": "x" * 50})

    assert not any(
        "x" * 50 in tags.values() for values in door.sink.values.values() for _, tags in values
    )


def test_probes_are_not_counted(door):
    for path in ("/healthz", "/readyz", "/metrics"):
        door.client.get(path)

    assert door.sink.values["bestiary_requests_total"] == []


def test_a_server_that_echoes_the_request_id_is_not_doubled(door):
    app = gateway_application(gateway_args(), door.others, server_echoes_request_id=True)
    with TestClient(app) as client:
        sane = client.get("/healthz", headers={"x-request-id": "abc"})
        other = client.get("/healthz", headers={"x-request-id": "a b"})

    assert "x-request-id" not in sane.headers
    assert re.fullmatch(r"[0-9a-f]{32}", other.headers["x-request-id"])
