"""What a card says of how far its builds may be from float32."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from bestiary.garden.card import ModelCard
from bestiary.garden.tolerance import Tolerance

FIELDS = {
    "id": "tiny",
    "family": "text",
    "architecture": "LlamaForCausalLM",
    "title": "Tiny",
    "parameters": 1,
    "context_length": 64,
    "license": "MIT",
    "provenance": "a test",
    "sources": [{"url": "zoo://tiny"}],
}


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "int8", "q41fast", "w8a16"])
def test_what_should_not_be_noticed_has_a_default(precision: str) -> None:
    tolerance = ModelCard.model_validate(FIELDS).tolerance_of(precision)
    assert tolerance is not None
    assert tolerance.max_kl <= 0.02


@pytest.mark.parametrize("precision", ["int4", "w8row"])
def test_what_is_lossy_has_none(precision: str) -> None:
    assert ModelCard.model_validate(FIELDS).tolerance_of(precision) is None


def test_a_cards_own_wins_over_the_default() -> None:
    own = {"int8": {"max_kl": 0.5, "min_top1": 0.1}, "int4": {"max_kl": 1, "min_top1": 0}}
    card = ModelCard.model_validate(FIELDS | {"tolerance": own})
    assert card.tolerance_of("int8") == Tolerance(max_kl=0.5, min_top1=0.1)
    assert card.tolerance_of("int4") == Tolerance(max_kl=1, min_top1=0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"int3": {"max_kl": 1, "min_top1": 0}},
        {"int8": {"max_kl": -1, "min_top1": 0}},
        {"int8": {"max_kl": 1, "min_top1": 2}},
        {"int8": {"max_kl": 1}},
    ],
)
def test_a_tolerance_that_means_nothing_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ModelCard.model_validate(FIELDS | {"tolerance": wrong})
