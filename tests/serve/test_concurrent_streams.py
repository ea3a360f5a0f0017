"""Many clients at once: nobody's answer depends on who else is there, and nothing leaks."""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

pytestmark = pytest.mark.serve

PROMPTS = [f"Write one sentence about the number {number}." for number in range(16)]


def answer(platform, prompt: str) -> tuple[str, str]:
    reply = platform.chat(prompt, temperature=0, max_tokens=32)
    assert reply.status_code == 200, reply.text
    choice = reply.json()["choices"][0]
    return choice["message"]["content"], choice["finish_reason"]


def running(platform, deployment: str) -> int:
    with platform.client() as client:
        load = client.get("/readyz").json()["deployments"][deployment]["load"]
    return load["running"] + load["waiting"]


def wait_until_idle(platform, deployment: str) -> None:
    deadline = time.monotonic() + 15
    while running(platform, deployment):
        assert time.monotonic() < deadline, f"{deployment} still holds work"
        time.sleep(0.2)


def test_sixteen_streams_equal_their_serial_answers(platform):
    alone = [answer(platform, prompt) for prompt in PROMPTS]
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(lambda prompt: answer(platform, prompt), PROMPTS))
    assert together == alone
    wait_until_idle(platform, "smollm2-135m-fast")


def test_a_client_that_hangs_up_frees_its_slot(platform):
    body = {
        "model": "gecko",
        "messages": [{"role": "user", "content": "Count to one thousand."}],
        "max_tokens": 1500,
        "stream": True,
        "temperature": 1.0,
    }
    with platform.client() as client:
        for _ in range(4):
            with client.stream("POST", "/v1/chat/completions", json=body) as reply:
                assert reply.status_code == 200
                next(reply.iter_bytes())
    wait_until_idle(platform, "smollm2-135m-fast")


def test_a_client_that_hangs_up_before_its_whole_answer_frees_its_slot(platform):
    """Raw sockets: an HTTP library may keep the connection that it is told to close."""
    question = [{"role": "user", "content": "Count to one thousand."}]
    never_ends = {"0": -100, "2": -100}  # SmolLM2's end tokens
    asked = {"model": "gecko", "messages": question, "max_tokens": 1500, "logit_bias": never_ends}
    body = json.dumps(asked).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n"
        f"content-type: application/json\r\nauthorization: Bearer {platform.key}\r\n\r\n"
    )
    for _ in range(4):
        with socket.create_connection(("127.0.0.1", platform.port)) as caller:
            caller.sendall(head.encode() + body)
            time.sleep(1)
    wait_until_idle(platform, "smollm2-135m-fast")


def test_more_streams_than_slots_all_end(platform):
    with ThreadPoolExecutor(40) as pool:
        replies = list(pool.map(lambda i: platform.chat(f"Say {i}.", max_tokens=4), range(40)))
    assert {reply.status_code for reply in replies} == {200}
