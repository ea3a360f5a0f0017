"""What a plan chooses where the spec says nothing, and the wishes that it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import bestiary.garden
from bestiary.errors import InvalidRequest
from bestiary.garden.card import ModelCard
from bestiary.schemas.tuning import (
    DataFormat,
    DataReport,
    Hyperparameters,
    JobSpec,
    LengthBin,
    Method,
)
from services.tuning.planning import Speed, plan_of

CARDS = Path(bestiary.garden.__file__).parent / "cards"


def card(name):
    return ModelCard.model_validate(yaml.safe_load((CARDS / f"{name}.yaml").read_text()))


SMOL = card("smollm2-135m-instruct")


def spec(method=Method.SUPERVISED, *, validation_file=None, **hyperparameters):
    return JobSpec(
        base="a-model",
        method=method,
        training_file="file-1",
        validation_file=validation_file,
        hyperparameters=Hyperparameters(**hyperparameters),
    )


def report(examples=200, *, format=DataFormat.CHAT, tokens_each=50):
    return DataReport(
        format=format,
        examples=examples,
        characters=examples * tokens_each * 4,
        tokens=examples * tokens_each,
        lengths=(LengthBin(up_to=128, examples=examples),),
    )


def test_what_is_chosen_for_a_small_chat_file():
    plan = plan_of(spec(), report(), SMOL, held_out=20)
    assert (plan.steps, plan.batch_size, plan.micro_batch_size) == (115, 8, 8)
    assert (plan.training_examples, plan.held_out_examples, plan.max_tokens) == (180, 20, 128)
    assert (plan.learning_rate, plan.warmup_steps) == (5e-4, 6)
    assert (plan.evaluate_every, plan.checkpoint_every) == (11, 20)
    assert plan.epochs == pytest.approx(5 * 23 * 8 / 180)
    assert plan.training_tokens == 9000


def test_what_is_asked_for_is_taken():
    plan = plan_of(
        spec(
            steps=7,
            batch_size=6,
            micro_batch_size=3,
            learning_rate=1e-3,
            learning_rate_multiplier=0.5,
            max_tokens=64,
            evaluate_every=2,
            checkpoint_every=3,
            warmup_ratio=0.0,
        ),
        report(),
        SMOL,
        held_out=20,
    )
    assert (plan.steps, plan.batch_size, plan.micro_batch_size, plan.accumulate) == (7, 6, 3, 2)
    assert (plan.learning_rate, plan.max_tokens, plan.warmup_steps) == (5e-4, 64, 0)
    assert (plan.evaluate_every, plan.checkpoint_every) == (2, 3)


def test_every_worker_gets_micro_batches_of_each_step():
    plan = plan_of(spec().model_copy(update={"workers": 3}), report(), SMOL, held_out=20)
    assert (plan.batch_size, plan.micro_batch_size, plan.accumulate) == (8, 2, 4)


@pytest.mark.parametrize(
    "wish", [spec(batch_size=2), spec(batch_size=6, micro_batch_size=3), spec(Method.EMBEDDING)]
)
def test_more_workers_than_micro_batches_are_refused(wish):
    wish = wish.model_copy(update={"workers": 3})
    base = SMOL if wish.method is Method.SUPERVISED else card("all-minilm-l6-v2")
    format = DataFormat.CHAT if wish.method is Method.SUPERVISED else DataFormat.TEXT_PAIRS
    with pytest.raises(InvalidRequest, match="share the micro batches") as error:
        plan_of(wish, report(format=format), base, held_out=20)
    assert error.value.param == "workers"


def test_epochs_are_rounded_up_to_steps():
    assert plan_of(spec(epochs=2), report(29), SMOL, held_out=3).steps == 8


@given(examples=st.integers(10, 1_000_000))
def test_small_data_gets_enough_steps_and_big_data_one_epoch(examples):
    plan = plan_of(spec(), report(examples), SMOL, held_out=1)
    an_epoch = -(-plan.training_examples // plan.batch_size)
    assert plan.steps >= min(100, 50 * an_epoch)
    assert plan.steps <= max(1000, an_epoch)
    assert plan.batch_size % plan.micro_batch_size == 0
    assert 1 <= plan.evaluate_every <= plan.steps


def test_long_examples_are_read_in_smaller_micro_batches():
    long = report().model_copy(update={"lengths": (LengthBin(up_to=2048, examples=200),)})
    plan = plan_of(spec(), long, SMOL, held_out=20)
    assert (plan.max_tokens, plan.batch_size, plan.micro_batch_size) == (2048, 8, 2)


@pytest.mark.parametrize(
    ("method", "format", "base", "lora", "full"),
    [
        (Method.SUPERVISED, DataFormat.CHAT, "smollm2-1.7b-instruct", 2e-4, 2e-5),
        (Method.DPO, DataFormat.PREFERENCE, "smollm2-135m-instruct", 5e-5, 5e-6),
        (Method.CLASSIFICATION, DataFormat.LABELLED_TEXT, "all-minilm-l6-v2", 5e-4, 5e-5),
        (Method.EMBEDDING, DataFormat.TEXT_PAIRS, "all-minilm-l6-v2", 2e-4, 2e-5),
        (Method.SEQUENCE_TO_SEQUENCE, DataFormat.TRANSLATION, "translator-gru", 5e-4, 3e-4),
        (Method.TEXT_TO_IMAGE, DataFormat.CAPTIONED_IMAGES, "emoji-text-to-image", 2e-3, 1e-4),
    ],
)
def test_learning_rates(method, format, base, lora, full):
    for is_full, rate in ((False, lora), (True, full)):
        plan = plan_of(spec(method, full=is_full), report(format=format), card(base), held_out=20)
        assert plan.learning_rate == pytest.approx(rate)


def test_the_estimate_is_of_operations_and_costs_money():
    speed = Speed(flops=1e10, threads=2, price_per_cpu_hour=3.6)
    plan = plan_of(spec(steps=100, evaluate_every=50), report(), SMOL, held_out=20, speed=speed)
    training, measuring = 100 * 8 * 50 * 4, 4 * 20 * 50 * 2
    assert plan.estimated_seconds == pytest.approx(SMOL.parameters * (training + measuring) / 2e10)
    assert plan.estimated_cost == pytest.approx(plan.estimated_seconds * 2 * 0.001)


def test_an_embedding_batch_is_never_cut():
    plan = plan_of(
        spec(Method.EMBEDDING, max_tokens=256),
        report(5000, format=DataFormat.TEXT_PAIRS),
        card("all-minilm-l6-v2"),
        held_out=20,
    )
    assert plan.micro_batch_size == plan.batch_size == 32


@pytest.mark.parametrize(
    ("wish", "held_out", "param"),
    [
        (spec(Method.DPO), 20, "training_file"),
        (spec(Method.CLASSIFICATION), 20, "method"),
        (spec(batch_size=4, micro_batch_size=8), 20, "hyperparameters.micro_batch_size"),
        (spec(batch_size=4, micro_batch_size=3), 20, "hyperparameters.micro_batch_size"),
        (spec(batch_size=181), 20, "hyperparameters.batch_size"),
        (spec(max_tokens=8193), 20, "hyperparameters.max_tokens"),
        (spec(), 0, "hyperparameters.held_out_share"),
        (spec(), 200, "hyperparameters.held_out_share"),
        (spec(validation_file="file-2"), 0, "validation_file"),
    ],
)
def test_impossible_wishes_name_their_field(wish, held_out, param):
    with pytest.raises(InvalidRequest) as error:
        plan_of(wish, report(), SMOL, held_out=held_out)
    assert error.value.param == param


@pytest.mark.parametrize(("teaches_by", "max_tokens"), [("answers", 128 + 256), ("logits", 128)])
def test_a_teachers_answers_have_room_behind_the_prompts(teaches_by, max_tokens):
    taught = JobSpec(
        base="a-model",
        method=Method.DISTILLATION,
        training_file="file-1",
        teacher="a-bigger-one",
        teaches_by=teaches_by,
    )
    plan = plan_of(taught, report(), SMOL, held_out=20)
    assert plan.max_tokens == max_tokens
    assert plan.training_tokens == 180 * (50 + (128 if teaches_by == "answers" else 0))
