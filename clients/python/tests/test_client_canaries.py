"""Canaries: what is sent and what comes back."""

from __future__ import annotations

import inspect
from datetime import datetime, timezone

import pytest
from scripted_server import Reply, ScriptedServer, refusal
from tuning_replies import MODEL_ID, canary_body, page

from bestiary_client import (
    AsyncBestiary,
    AsyncCanaries,
    Bestiary,
    Canaries,
    CanaryArm,
    CanaryRules,
    Conflict,
)

ENDED = Reply(body={"alias": "support", "object": "tuning.canary", "deleted": True})


def test_a_canary_is_started_with_what_was_said(server: ScriptedServer) -> None:
    server.will(Reply(body=canary_body()))
    with Bestiary(base_url=server.url) as client:
        found = client.canaries.start(
            "support", base="otter", candidate=MODEL_ID, weights=(0.05, 1), metric=None
        )
        client.canaries.start("support", candidate=MODEL_ID, weight=0.1)
    assert server.got[0].body == {
        "alias": "support",
        "base": "otter",
        "candidate": MODEL_ID,
        "rules": {"weights": [0.05, 1]},
    }
    assert server.got[1].body == {"alias": "support", "candidate": MODEL_ID, "weight": 0.1}
    assert (found.weight, found.state, found.step, found.reason) == (
        0.25,
        "running",
        1,
        "step 0 held",
    )
    assert found.rules == CanaryRules(weights=(0.05, 0.25, 1.0))
    assert found.base_arm == CanaryArm(40, 1, 0.1)
    assert found.base_arm.error_rate == 0.025
    assert found.candidate_arm.mean_first_token_s is None
    assert found.updated_at == datetime(2026, 9, 21, 14, 15, 20, tzinfo=timezone.utc)


def test_a_canary_is_moved_and_ended(server: ScriptedServer) -> None:
    server.will(Reply(body=canary_body(alias="a/b")))
    with Bestiary(base_url=server.url) as client:
        found = client.canaries.get("a/b")
        client.canaries.move(found, weight=0.5)
        client.canaries.move(found, step=0)
        client.canaries.promote(found)
        client.canaries.rollback(found)
        server.will(ENDED)
        client.canaries.end(found)
        server.will(page(canary_body()))
        assert [one.alias for one in client.canaries.list()] == ["support"]
    assert [one.body for one in server.got[1:5]] == [
        {"weight": 0.5},
        {"step": 0},
        {"promote": True},
        {"rollback": True},
    ]
    assert {one.path for one in server.got[1:5]} == {"/v1/tuning/canaries/a%2Fb/move"}
    assert (server.got[5].method, server.got[5].path) == ("DELETE", "/v1/tuning/canaries/a%2Fb")


def test_a_move_has_one_aim(server: ScriptedServer) -> None:
    with Bestiary(base_url=server.url) as client:
        with pytest.raises(TypeError, match="a weight or a step"):
            client.canaries.move("support")
        with pytest.raises(TypeError, match="a weight or a step"):
            client.canaries.move("support", weight=0.5, step=1)
        with pytest.raises(TypeError, match="unknown option"):
            client.canaries.start("support", candidate="a", wieghts=[1])  # type: ignore[call-arg]
    assert server.got == []


async def test_the_async_twin_does_the_same(server: ScriptedServer) -> None:
    async with AsyncBestiary(base_url=server.url) as client:
        server.will(Reply(body=canary_body()))
        found = await client.canaries.start("support", candidate=MODEL_ID)
        assert await client.canaries.get("support") == found
        await client.canaries.move(found, step=2)
        await client.canaries.promote(found)
        await client.canaries.rollback(found)
        server.will(page(canary_body()))
        assert [one.alias async for one in client.canaries.list()] == ["support"]
        server.will(ENDED)
        await client.canaries.end(found)
        server.will(refusal(409, "conflict"))
        with pytest.raises(Conflict):
            await client.canaries.start("support", candidate=MODEL_ID)


def test_both_twins_have_the_same_methods_with_the_same_words() -> None:
    def public(kind: type) -> dict[str, tuple[str, ...]]:
        return {
            name: tuple(inspect.signature(function).parameters)
            for name, function in vars(kind).items()
            if name[0] != "_"
        }

    assert public(Canaries) == public(AsyncCanaries)
