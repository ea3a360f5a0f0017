"""kill -9 of any one process: the platform serves again within 30 s, by itself."""

from __future__ import annotations

import time

import httpx2 as httpx
import pytest

pytestmark = pytest.mark.serve

RECOVERY_S = 30.0
REPLICAS = ("ServeReplica:smollm2-135m-fast", "ServeReplica:gateway", "ServeReplica:minilm")
SERVE = ("haproxy", "HAProxyManager", "ProxyActor", "ServeController")
NODE = ("raylet", "gcs_server", "supervise")
SMOLLM2_END_IDS = ("0", "2")


def answers(platform) -> bool:
    try:
        chat = platform.chat("Hi", max_tokens=2)
        with platform.client() as client:
            vector = client.post("/v1/embeddings", json={"model": "minilm", "input": "x"})
    except httpx.HTTPError:
        return False
    return chat.status_code == 200 and vector.status_code == 200


def is_whole(platform) -> bool:
    """Every tier answers by itself: nobody stands in for a replica that is still starting."""
    body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}
    try:
        with platform.client(**{"x-bestiary-strict": "true"}) as client:
            replies = [
                client.post("/v1/chat/completions", json={"model": tier, **body})
                for tier in ("gecko", "otter")
            ]
    except httpx.HTTPError:
        return False
    return {reply.status_code for reply in replies} == {200} and answers(platform)


@pytest.fixture(autouse=True)
def whole_again(platform):
    """The next test finds the platform as this one found it."""
    yield
    deadline = time.monotonic() + 90
    while not is_whole(platform):
        assert time.monotonic() < deadline, "the platform did not become whole again"
        time.sleep(0.5)


def seconds_until_it_serves(platform) -> float:
    """From now to the first answer after which three more in a row come."""
    began = time.monotonic()
    good_since: float | None = None
    streak = 0
    while time.monotonic() - began < RECOVERY_S * 2:
        if answers(platform):
            good_since = good_since or time.monotonic()
            streak += 1
            if streak == 4:
                return good_since - began
        else:
            good_since, streak = None, 0
        time.sleep(0.5)
    return float("inf")


def kill(platform, title: str) -> None:
    found = platform.processes(title)
    assert found, f"no process {title!r}"
    found[0].kill()


@pytest.mark.parametrize("title", REPLICAS)
def test_a_killed_replica_comes_back(platform, title):
    kill(platform, title)
    assert seconds_until_it_serves(platform) <= RECOVERY_S


@pytest.mark.slow
@pytest.mark.parametrize("title", [*SERVE, *NODE])
def test_a_killed_process_of_ray_comes_back(platform, title):
    kill(platform, title)
    assert seconds_until_it_serves(platform) <= RECOVERY_S
    if title == "supervise":
        assert platform.command("up", "--detach", "--wait").returncode == 0


def test_a_stream_whose_replica_dies_ends_with_a_typed_error(platform):
    never_ends = dict.fromkeys(SMOLLM2_END_IDS, -100)
    body = {
        "model": "gecko",
        "messages": [{"role": "user", "content": "Count to one thousand."}],
        "max_tokens": 1500,
        "stream": True,
        "logit_bias": never_ends,
    }
    with (
        platform.client() as client,
        client.stream("POST", "/v1/chat/completions", json=body) as reply,
    ):
        lines = reply.iter_lines()
        next(lines)
        kill(platform, "ServeReplica:smollm2-135m-fast")
        rest = "\n".join(lines)
    assert '"code":"replica_lost"' in rest.replace(" ", "")
    assert seconds_until_it_serves(platform) <= RECOVERY_S
