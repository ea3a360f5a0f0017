"""What a model can be asked to do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bestiary.garden import Garden
from bestiary.garden.tasks import Task, tasks_of

MakeCard = Callable[..., str]


@pytest.mark.parametrize(
    ("card", "can", "cannot"),
    [
        ("all-minilm-l6-v2", Task.EMBED, Task.FILL_MASK),
        ("bert-base-uncased", Task.FILL_MASK, Task.CLASSIFY),
        ("bert-large-uncased", Task.NEXT_SENTENCE, Task.TOKEN_CLASSIFY),
        ("smollm2-135m-instruct", Task.CHAT, Task.EMBED),
    ],
)
def test_an_architecture_says_what_a_card_leaves_out(
    garden: Garden, card: str, can: Task, cannot: Task
) -> None:
    tasks = tasks_of(garden.card(card))
    assert can in tasks
    assert cannot not in tasks


def test_a_base_model_completes_and_does_not_chat(garden: Garden) -> None:
    base = garden.card("smollm2-135m-instruct").model_copy(update={"instruct": False})
    assert tasks_of(base) == (Task.COMPLETE,)


def test_a_card_has_the_last_word(garden: Garden) -> None:
    card = garden.card("all-minilm-l6-v2").model_copy(update={"tasks": (Task.RERANK,)})
    assert tasks_of(card) == (Task.RERANK,)


def test_an_unknown_architecture_promises_nothing(garden: Garden) -> None:
    card = garden.card("all-minilm-l6-v2").model_copy(update={"architecture": "XModel"})
    assert tasks_of(card) == ()
