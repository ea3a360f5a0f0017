"""What goes wrong on the caller's side gets its dialect's typed error, through the whole stack."""

from __future__ import annotations

import time

import httpx2 as httpx
import pytest

pytestmark = pytest.mark.serve

HI = [{"role": "user", "content": "Hi"}]
BAD_CHATS = {
    "n is zero": ({"n": 0}, "n"),
    "temperature is negative": ({"temperature": -1}, "temperature"),
    "messages are empty": ({"messages": []}, "messages"),
    "messages are a string": ({"messages": "Hi"}, "messages"),
    "unknown parameter": ({"frobnicate": 1}, "frobnicate"),
    "max_tokens is a word": ({"max_tokens": "many"}, "max_tokens"),
}


@pytest.mark.parametrize("case", BAD_CHATS)
def test_a_bad_chat_names_the_field(client, case):
    change, param = BAD_CHATS[case]
    reply = client.post("/v1/chat/completions", json={"model": "gecko", "messages": HI, **change})
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["param"].startswith(param)


def test_malformed_json(client):
    reply = client.post("/v1/chat/completions", content=b'{"model": "gecko", ')
    assert reply.status_code == 400
    assert reply.json()["error"]["type"] == "invalid_request_error"


def test_an_unknown_model_is_not_found(platform):
    reply = platform.chat("Hi", model="geko")
    assert reply.status_code == 404
    assert reply.json()["error"]["code"] == "model_not_found"
    assert "gecko" in reply.json()["error"]["message"]


def test_a_prompt_over_the_context(platform):
    reply = platform.chat("word " * 9000, model="otter")
    assert reply.status_code == 400
    assert reply.json()["error"]["code"] == "context_length_exceeded"


def test_a_body_of_ten_megabytes_is_cut_early(client):
    reply = client.post("/v1/chat/completions", content=b"x" * 10_000_000)
    assert reply.status_code in (400, 413)
    assert reply.json()["error"]["code"] == "request_too_large"


@pytest.mark.parametrize("key", ["bst-wrong", "Bearer", "x"])
def test_a_wrong_key(platform, key):
    reply = httpx.get(
        f"{platform.url}/v1/models", headers={"authorization": f"Bearer {key}"}, trust_env=False
    )
    assert reply.status_code == 401
    assert reply.json()["error"]["code"] == "invalid_api_key"


def test_a_revoked_key_is_refused_within_a_second(platform):
    made = platform.command("keys", "create", "short-lived")
    secret = made.stdout.strip().splitlines()[-1]
    headers = {"authorization": f"Bearer {secret}"}
    assert httpx.get(f"{platform.url}/v1/models", headers=headers, trust_env=False).is_success
    assert platform.command("keys", "revoke", secret).returncode == 0
    time.sleep(1)
    reply = httpx.get(f"{platform.url}/v1/models", headers=headers, trust_env=False)
    assert reply.status_code == 401


def test_palm_errors_are_googles(platform):
    reply = httpx.post(
        f"{platform.url}/v1beta2/models/nothing-001:generateText",
        headers={"x-goog-api-key": platform.key},
        json={"prompt": {"text": "Hi"}},
        trust_env=False,
    )
    assert reply.status_code == 404
    assert reply.json()["error"]["status"] == "NOT_FOUND"
