"""Whom a caller asks for stays on one side of a canary: OpenAI's `user` says who it is."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from gateway_fakes import gateway_args, text_card

from bestiary.garden.card import Family
from bestiary.profile.applications import ServedModel
from bestiary.schemas.publishing import Canary, CanaryState
from bestiary.state.keys import KeyScope
from services.router.policy import RoutingPolicy

ALIAS, BASE, CANDIDATE = "pets", "tiny-instruct", "ft:tiny-instruct:pets:1a2b3c4d"
NOW = datetime(2026, 1, 2, tzinfo=UTC)
USER = [{"role": "user", "content": "hello"}]


@pytest.fixture
def split(door):
    """Half of what is asked of `pets` goes to the candidate."""
    args = gateway_args()
    tuned = ServedModel(deployment="small", family=Family.TEXT, card=text_card(CANDIDATE))
    canary = Canary(
        alias=ALIAS,
        base=BASE,
        candidate=CANDIDATE,
        weight=0.5,
        state=CanaryState.RUNNING,
        step_began_at=NOW,
        created_at=NOW,
        updated_at=NOW,
    )
    served = (*args.served, tuned)
    door.router.published = RoutingPolicy(args.profile, served, args.absent, (canary,))
    return door


def chat(door, **fields):
    body = {"model": ALIAS, "messages": USER, **fields}
    answer = door.client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200
    return answer.json()["model"]


def test_a_user_is_on_the_same_side_every_time(split):
    sides = {user: {chat(split, user=user) for _ in range(6)} for user in "abcdefgh"}

    assert all(len(models) == 1 for models in sides.values())
    assert set.union(*sides.values()) == {BASE, CANDIDATE}


def test_the_newer_name_says_the_same(split):
    assert {chat(split, safety_identifier="a") for _ in range(6)} == {chat(split, user="a")}


@pytest.mark.parametrize("fields", [{}, {"user": None}, {"user": ""}])
def test_without_a_user_chance_decides(split, fields):
    chat(split, **fields)

    assert split.router.routes[-1].stickiness == ""


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"model": "gecko", "prompt": "hello"}),
        ("/v1/embeddings", {"model": "tiny-encoder", "input": "hello"}),
    ],
)
def test_every_route_that_takes_a_user_hands_it_over(door, path, body):
    assert door.client.post(path, json={**body, "user": "a"}).status_code == 200

    assert door.router.routes[-1].stickiness.endswith(":a")


def test_two_callers_users_of_one_name_are_two_users(door):
    other = door.keys.create("others", scopes=[KeyScope.INFERENCE]).secret
    body = {"model": "gecko", "messages": USER, "user": "a"}
    for secret in (door.secret, other):
        headers = {"authorization": f"Bearer {secret}"}
        door.client.post("/v1/chat/completions", json=body, headers=headers)

    first, second = (route.stickiness for route in door.router.routes)
    assert first != second
