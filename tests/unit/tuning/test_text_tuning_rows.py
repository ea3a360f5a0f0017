"""Packed sequences do not see each other, and the loss does not know that they are packed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import MistralConfig, MistralForCausalLM, PreTrainedModel

from services.tuning.trainers.text.losses import cross_entropy, logits_at, means_of_sequences
from services.tuning.trainers.text.order import ExampleOrder
from services.tuning.trainers.text.rows import rows_of
from services.tuning.trainers.text.sequences import TokenSequence
from services.tuning.trainers.text.tuned_model import opened
from tests.unit.tuning.small_text_models import installed

VOCABULARY = 200


def sequence(size: int, seed: int) -> TokenSequence:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(VOCABULARY, (size,), generator=generator).tolist()
    return TokenSequence(tuple(ids), tuple(place >= size // 3 + 1 for place in range(size)))


SEQUENCES = [sequence(size, seed) for seed, size in enumerate((9, 30, 4, 17, 25, 3, 40))]


def windowed() -> PreTrainedModel:
    """Attention sees 8 tokens back."""
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=300,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.2,
        sliding_window=8,
    )
    return MistralForCausalLM(config)


@pytest.fixture(params=["llama", "windowed"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> PreTrainedModel:
    made = windowed() if request.param == "windowed" else None
    return opened(installed(tmp_path, model=made))


@torch.no_grad()
def test_packed_logits_and_losses_are_those_of_the_sequences_alone(model: PreTrainedModel) -> None:
    packed = rows_of(SEQUENCES, 48, packing=True)
    assert packed.ids.shape[0] < len(SEQUENCES)
    logits = logits_at(model, packed)
    means = means_of_sequences(cross_entropy(logits, packed), packed)
    for number, one in enumerate(SEQUENCES):
        alone = model(torch.tensor([one.ids])).logits[0]
        expected = alone[:-1][torch.tensor(one.learned[1:])]
        torch.testing.assert_close(logits[packed.owners == number], expected, atol=1e-4, rtol=0)
        labels = torch.tensor([t for t, yes in zip(one.ids, one.learned, strict=True) if yes])
        loss = torch.nn.functional.cross_entropy(expected, labels)
        torch.testing.assert_close(means[number], loss, atol=1e-4, rtol=0)


@torch.no_grad()
def test_padded_rows_have_the_same_losses(model: PreTrainedModel) -> None:
    losses = []
    for packing in (True, False):
        rows = rows_of(SEQUENCES, 48, packing=packing)
        losses.append(means_of_sequences(cross_entropy(logits_at(model, rows), rows), rows))
    torch.testing.assert_close(losses[0], losses[1], atol=1e-4, rtol=0)


def test_rows_are_filled_and_never_over_the_limit() -> None:
    packed = rows_of(SEQUENCES, 48, packing=True)
    rows, width = packed.ids.shape
    assert rows == 3  # for 128 tokens
    assert width <= 48
    assert packed.labels.tolist() == packed.ids.roll(-1, 1)[packed.predicting].tolist()


def test_each_epoch_has_all_examples_in_an_order_of_its_own() -> None:
    order = ExampleOrder(count=10, size=4, seed=3)
    seen = [place for number in range(5) for place in order.batch(number)]
    first, second = seen[:10], seen[10:]
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


def test_a_batch_is_a_function_of_its_number_and_the_seed() -> None:
    straight = ExampleOrder(10, 4, seed=3)
    batches = [straight.batch(number) for number in range(6)]
    assert ExampleOrder(10, 4, seed=3).batch(5) == batches[5]
    assert straight.batch(0) == batches[0]
    assert ExampleOrder(10, 4, seed=4).batch(0) != batches[0]
