"""Prompts that begin alike go to the same few replicas, and nobody moves without need."""

from __future__ import annotations

from collections import Counter

from bestiary.schemas.text import ChatMessage, TextRequest
from deployments.text.affinity import HOMES, beginning, ranked

REPLICAS = [f"replica-{number}" for number in range(8)]
SYSTEM = "You are a helpful assistant of a large library. " * 20


def chat(question: str) -> TextRequest:
    messages = (
        ChatMessage(role="system", content=SYSTEM),
        ChatMessage(role="user", content=question),
    )
    return TextRequest(request_id="x", messages=messages)


def test_requests_with_one_system_prompt_have_the_same_homes() -> None:
    first, second = (ranked(beginning(chat(q)), REPLICAS)[:HOMES] for q in ("Who?", "Why?"))
    assert first == second


def test_the_order_of_the_list_does_not_matter() -> None:
    assert ranked(b"key", REPLICAS) == ranked(b"key", REPLICAS[::-1])


def test_different_beginnings_are_spread() -> None:
    first_homes = Counter(ranked(f"prompt {n}".encode(), REPLICAS)[0] for n in range(800))
    assert set(first_homes) == set(REPLICAS)
    assert max(first_homes.values()) < 2 * min(first_homes.values())


def test_a_replica_that_goes_moves_only_its_own() -> None:
    for number in range(100):
        key = f"prompt {number}".encode()
        before = ranked(key, REPLICAS)
        assert ranked(key, [one for one in REPLICAS if one != "replica-3"]) == [
            one for one in before if one != "replica-3"
        ]


def test_texts_and_tokens_have_beginnings_too() -> None:
    text = TextRequest(request_id="x", text="Once upon a time")
    tokens = TextRequest(request_id="x", token_ids=tuple(range(300)))
    longer = TextRequest(request_id="x", token_ids=tuple(range(400)))
    assert beginning(text) == b"Once upon a time"
    assert beginning(tokens) == beginning(longer)
