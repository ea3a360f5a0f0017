"""A model that was published a moment ago answers at once, by every API that takes its name."""

from __future__ import annotations

import pytest
from gateway_fakes import FakeDispatcher, gateway_args, text_card

from bestiary.garden.card import Family
from bestiary.profile.applications import ServedModel
from services.router.policy import RoutingPolicy

TUNED = "ft:tiny-instruct:pets:1a2b3c4d"
USER = [{"role": "user", "content": "hello"}]


def publish(router: FakeDispatcher) -> None:
    """What a look at the database would find."""
    args = gateway_args()
    tuned = ServedModel(deployment="small", family=Family.TEXT, card=text_card(TUNED))
    router.published = RoutingPolicy(args.profile, (*args.served, tuned), args.absent)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"model": TUNED, "messages": USER}),
        ("/v1/completions", {"model": TUNED, "prompt": "hello"}),
        ("/v1/tokenize", {"model": TUNED, "text": "hello"}),
        (f"/v1beta2/models/{TUNED}:generateText", {"prompt": {"text": "hello"}}),
        (f"/v1beta2/models/{TUNED}:generateMessage", {"prompt": {"messages": [{"content": "hi"}]}}),
        (f"/v1beta2/models/{TUNED}:countTextTokens", {"prompt": {"text": "hello"}}),
        (
            f"/v1beta2/models/{TUNED}:countMessageTokens",
            {"prompt": {"messages": [{"content": "hi"}]}},
        ),
    ],
)
def test_it_is_asked_for(door, path, body):
    assert door.client.post(path, json=body).status_code == 404

    publish(door.router)

    assert door.client.post(path, json=body).status_code == 200
    assert door.router.routes[-1].model == TUNED


@pytest.mark.parametrize("path", [f"/v1/models/{TUNED}", f"/v1beta2/models/{TUNED}"])
def test_it_is_looked_up(door, path):
    assert door.client.get(path).status_code == 404

    publish(door.router)

    assert door.client.get(path).status_code == 200
