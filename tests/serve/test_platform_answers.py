"""Every public door of a running platform, with the real models behind it."""

from __future__ import annotations

import base64
import json

import httpx2 as httpx
import numpy as np
import pytest

from bestiary.telemetry.receipt import LatencyReceipt

pytestmark = pytest.mark.serve


def test_a_tier_answers_a_question(platform):
    reply = platform.chat(
        "What is the capital of France? Answer in one sentence.", temperature=0, max_tokens=16
    )
    assert reply.status_code == 200
    assert "Paris" in reply.json()["choices"][0]["message"]["content"]
    assert reply.headers["x-bestiary-tier"] == "gecko"
    assert reply.headers["x-bestiary-model"] == "smollm2-135m-instruct"
    assert reply.headers["x-bestiary-route-reason"] == "requested-tier"


def test_a_reply_has_one_request_id(platform):
    reply = platform.chat("Hi", max_tokens=2)
    assert len(reply.headers.get_list("x-request-id")) == 1


def test_a_stream_says_what_the_whole_reply_says(client):
    body = {
        "model": "gecko",
        "messages": [{"role": "user", "content": "Name three colours."}],
        "temperature": 0,
        "max_tokens": 24,
    }
    whole = client.post("/v1/chat/completions", json=body).json()
    streamed = client.post(
        "/v1/chat/completions",
        json={**body, "stream": True, "stream_options": {"include_usage": True}},
    )
    assert streamed.headers["content-type"].startswith("text/event-stream")
    chunks = events(streamed.text)
    text = "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])
    assert text == whole["choices"][0]["message"]["content"]
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    for usage in (chunks[-1]["usage"], whole["usage"]):
        usage.pop("prompt_tokens_details")  # the second time the prompt is in the prefix cache
    assert chunks[-1]["usage"] == whole["usage"]
    assert streamed.text.rstrip().endswith("data: [DONE]")
    assert ": bestiary-receipt " in streamed.text


def test_a_seed_reproduces_a_sampled_answer(platform):
    ask = {"temperature": 1.2, "seed": 7, "max_tokens": 16}
    first, second = (platform.chat("Tell me a story.", **ask) for _ in range(2))
    assert first.json()["choices"] == second.json()["choices"]


def test_candidates_differ_and_are_numbered(platform):
    reply = platform.chat("Invent a name.", n=3, temperature=1.5, seed=1, max_tokens=8)
    choices = reply.json()["choices"]
    assert [choice["index"] for choice in choices] == [0, 1, 2]
    assert len({choice["message"]["content"] for choice in choices}) > 1


def test_a_stop_sequence_ends_the_answer_and_does_not_leak(client):
    body = {"model": "gecko", "prompt": "1, 2, 3, 4,", "temperature": 0, "max_tokens": 24}
    free = client.post("/v1/completions", json=body).json()["choices"][0]["text"]
    assert "7" in free
    stopped = client.post("/v1/completions", json={**body, "stop": ["7"]}).json()["choices"][0]
    assert stopped["finish_reason"] == "stop"
    assert stopped["text"] == free[: free.index("7")]


def test_otter_serves_the_same_model_in_full_precision(platform):
    reply = platform.chat(
        "What is the capital of France?", model="otter", temperature=0, max_tokens=16
    )
    assert reply.headers["x-bestiary-tier"] == "otter"
    assert "Paris" in reply.json()["choices"][0]["message"]["content"]


def test_bison_falls_back_where_no_big_model_is_installed(platform):
    reply = platform.chat("Hello", model="text-bison-001", max_tokens=4)
    assert reply.status_code == 200
    assert reply.headers["x-bestiary-tier"] == "otter"
    assert reply.headers["x-bestiary-route-reason"] == "fallback-not-installed"


def test_strict_forbids_the_fallback(platform):
    with platform.client(**{"x-bestiary-strict": "true"}) as client:
        body = {"model": "bison", "messages": [{"role": "user", "content": "Hi"}]}
        reply = client.post("/v1/chat/completions", json=body)
    assert reply.status_code == 404
    assert reply.json()["error"]["code"] in ("model_not_installed", "model_not_found")


def test_auto_sends_long_prompts_to_the_tier_with_the_longer_context(platform):
    short = platform.chat("Hello", model="auto", max_tokens=2)
    long = platform.chat("word " * 1500, model="auto", max_tokens=2)
    assert short.headers["x-bestiary-tier"] == "gecko"
    assert long.headers["x-bestiary-tier"] == "otter"
    assert {short.headers["x-bestiary-route-reason"], long.headers["x-bestiary-route-reason"]} == {
        "auto"
    }


def test_embeddings_know_related_from_unrelated(client):
    texts = [
        "A man plays the guitar on stage.",
        "Someone performs music with a guitar.",
        "The stock market fell sharply.",
    ]
    reply = client.post("/v1/embeddings", json={"model": "all-minilm-l6-v2", "input": texts})
    first, second, third = (np.array(row["embedding"]) for row in reply.json()["data"])
    assert np.isclose(np.linalg.norm(first), 1, atol=1e-5)
    assert first @ second > 0.5 > first @ third + 0.3


def test_base64_embeddings_are_the_same_numbers(client):
    body = {"model": "embedding-gecko-001", "input": "a cat"}
    floats = client.post("/v1/embeddings", json=body).json()["data"][0]["embedding"]
    packed = client.post("/v1/embeddings", json={**body, "encoding_format": "base64"})
    decoded = np.frombuffer(base64.b64decode(packed.json()["data"][0]["embedding"]), "<f4")
    np.testing.assert_allclose(decoded, floats, atol=1e-6)


def test_tokens_are_counted(client):
    reply = client.post("/v1/tokenize", json={"model": "gecko", "text": "Hello world"})
    assert reply.json()["count"] == len(reply.json()["tokens"]) == 2


@pytest.mark.parametrize("version", ["v1beta2", "v1beta3", "v1beta"])
def test_palm_generates_on_every_version_prefix(platform, version):
    with httpx.Client(base_url=platform.url, timeout=60, trust_env=False) as client:
        reply = client.post(
            f"/{version}/models/text-bison-001:generateText",
            headers={"x-goog-api-key": platform.key},
            json={
                "prompt": {"text": "What is the capital of France? Answer in one sentence."},
                "temperature": 0,
                "maxOutputTokens": 16,
            },
        )
    assert reply.status_code == 200, reply.text
    assert "Paris" in reply.json()["candidates"][0]["output"]


@pytest.mark.parametrize("stream", [False, True])
def test_the_receipts_stages_add_up_to_the_measured_total(platform, stream):
    shares = []
    for _ in range(7):
        reply = platform.chat("Tell me about the sea.", max_tokens=32, stream=stream)
        receipt = receipt_of(reply)
        shares.append(abs(receipt.unaccounted) / receipt.total)
        assert receipt.decode > 0
        assert receipt.prefill > 0
    assert sorted(shares)[len(shares) // 2] <= 0.05


def test_models_are_listed_without_pages(client):
    listed = {model["id"] for model in client.get("/v1/models").json()["data"]}
    assert {"auto", "gecko", "otter", "smollm2-135m-instruct", "all-minilm-l6-v2"} <= listed


def test_readyz_lists_every_deployment(client):
    body = client.get("/readyz").json()
    assert body["ready"] is True
    assert set(body["deployments"]) >= {"smollm2-135m-fast", "smollm2-135m-fp32", "minilm"}
    assert "bison-instruct" in body["absent"]


def test_nothing_listens_outside_of_loopback(platform):
    outside = [
        (process.name(), connection.laddr)
        for process in platform.processes("")
        for connection in process.net_connections("tcp")
        if connection.status == "LISTEN"
        and not connection.laddr.ip.removeprefix("::ffff:").startswith("127.")
    ]
    assert outside == []


def events(text: str) -> list[dict]:
    """The JSON of every `data:` line but `[DONE]`."""
    lines = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def receipt_of(reply: httpx.Response) -> LatencyReceipt:
    if "server-timing" in reply.headers:
        return LatencyReceipt.parse(reply.headers["server-timing"])
    comment = next(line for line in reply.text.splitlines() if line.startswith(": bestiary"))
    found = json.loads(comment.removeprefix(": bestiary-receipt "))
    fields = LatencyReceipt.__dataclass_fields__
    return LatencyReceipt(**{k: v for k, v in found.get("receipt", found).items() if k in fields})
