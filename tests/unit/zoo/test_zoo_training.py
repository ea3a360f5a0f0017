"""The loop: what a killed and resumed run ends in, its pace, its batches, its page."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from training.batch_order import BatchOrder
from training.curves import Row, write_csv
from training.loop import CHECKPOINT, Plan, State, load, train
from zoo.model_page import Page, Table, write_page

PLAN = Plan(steps=24, learning_rate=1e-2, warmup=4, seed=3, measure_every=8, checkpoint_every=5)


class Line:
    """A trainee: noisy points of a line, through a layer with dropout."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model: nn.Module = nn.Sequential(nn.Linear(4, 16), nn.Dropout(0.5), nn.Linear(16, 1))

    def loss(self, step: int) -> Tensor:
        points = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
        difference: Tensor = self.model(points)[:, 0] - points.sum(-1)
        return difference.square().mean()

    def measure(self) -> Mapping[str, float]:
        return {"loss": float(self.loss(10_000))}


def weights(trainee: Line) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in trainee.model.state_dict().items()}


@pytest.mark.parametrize("stopped", [5, 11, 23])
def test_run_that_was_stopped_and_resumed_ends_in_the_same_weights(
    tmp_path: Path, stopped: int
) -> None:
    whole, parts, resumed = Line(), Line(), Line()
    state = train(whole, PLAN, tmp_path / "whole", resume=False)
    train(parts, PLAN, tmp_path / "parts", resume=False, until=stopped)
    again = train(resumed, PLAN, tmp_path / "parts", resume=True)
    assert again.step == state.step == PLAN.steps
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[name]), name


def test_run_that_was_killed_between_checkpoints_goes_on_from_the_last(tmp_path: Path) -> None:
    whole = Line()
    train(whole, PLAN, tmp_path / "whole", resume=False)

    class Killed(Line):
        def loss(self, step: int) -> Tensor:
            if step == 13:
                raise KeyboardInterrupt
            return super().loss(step)

    with pytest.raises(KeyboardInterrupt):
        train(Killed(), PLAN, tmp_path / "killed", resume=False)
    assert load(Line().model, tmp_path / "killed").step == 10
    resumed = Line()
    train(resumed, PLAN, tmp_path / "killed", resume=True)
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[name]), name


def test_checkpoint_holds_what_is_learned_only(tmp_path: Path) -> None:
    trainee = Line()
    for parameter in trainee.model[0].parameters():  # type: ignore[operator]
        parameter.requires_grad_(False)
    train(trainee, PLAN, tmp_path, resume=False)
    content = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert set(content["model"]) == {"2.weight", "2.bias"}


def test_training_learns(tmp_path: Path) -> None:
    trainee = Line()
    plan = Plan(steps=300, learning_rate=1e-2, warmup=10, seed=1, measure_every=100, bfloat16=False)
    history = train(trainee, plan, tmp_path, resume=False).history
    assert history[-1].held_out["loss"] < 0.5 * history[0].loss


def test_loss_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    class Broken(Line):
        def loss(self, step: int) -> Tensor:
            return super().loss(step) * torch.nan

    with pytest.raises(FloatingPointError, match="step 0"):
        train(Broken(), PLAN, tmp_path, resume=False)


def test_learning_rate_rises_stays_and_falls_to_nothing() -> None:
    plan = Plan(steps=100, learning_rate=1.0, warmup=10, seed=0, cooldown=0.5)
    rates = [plan.learning_rate_at(step) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[10:51] == [1.0] * 41
    assert rates[75] == pytest.approx(0.5)
    assert rates[100] == 0.0


def test_longer_plan_goes_the_same_way_until_the_cooldown() -> None:
    short = Plan(steps=100, learning_rate=1.0, warmup=10, seed=0, cooldown=0.5)
    long = Plan(steps=400, learning_rate=1.0, warmup=10, seed=0, cooldown=0.5)
    for step in range(51):
        assert short.learning_rate_at(step) == long.learning_rate_at(step)


LENGTHS = [1 + place * 7 % 30 for place in range(300)]


def test_an_epoch_has_every_example_once_within_the_budget() -> None:
    epoch = BatchOrder(LENGTHS, tokens=100, seed=1).epoch(0)
    assert sorted(place for batch in epoch for place in batch) == list(range(300))
    assert all(len(batch) * max(LENGTHS[place] for place in batch) <= 100 for batch in epoch)


def test_order_is_the_seeds_and_the_epochs() -> None:
    order, again = BatchOrder(LENGTHS, 100, seed=1), BatchOrder(LENGTHS, 100, seed=1)
    assert [order.at(step) for step in (80, 3, 0)] == [again.at(step) for step in (80, 3, 0)]
    assert order.epoch(0) != order.epoch(1)
    assert order.epoch(0) != BatchOrder(LENGTHS, 100, seed=2).epoch(0)


def test_one_example_over_the_budget_is_a_batch_of_its_own() -> None:
    assert BatchOrder([500], tokens=100, seed=1).at(0) == [0]


HISTORY = [
    Row(8, 2.5, 1e-3, 0.1, {"loss": 2.25}),
    Row(16, 1.5, 1e-3, 0.2, {"loss": 2.0, "F1": 0.5}),
]


def test_metrics_have_a_column_for_everything_that_was_measured(tmp_path: Path) -> None:
    write_csv(HISTORY, tmp_path / "metrics.csv")
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["loss"] for row in rows] == ["2.5", "1.5"]
    assert rows[1]["held_out_F1"] == "0.5"
    assert rows[0]["held_out_F1"] == ""


def test_page_says_what_was_measured_and_how_far_it_was_trained(tmp_path: Path) -> None:
    page = Page(
        model="tiny-model",
        title="Tiny",
        summary="For tests.",
        license="CC0-1.0",
        packages=(),
        other_sources=("nothing",),
        held_out="Nothing is held out.",
        tables=(Table("All.", ("kind", "F1"), (("all", 0.51239),)),),
        parameters=1234,
        planned_steps=100,
        seed=5,
    )
    write_page(page, State(step=16, cpu_s=90.0, history=HISTORY), tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "| all | 0.512 |" in text
    assert "16 steps of the 100 planned, 1.5 CPU minutes" in text
    assert "python -m zoo.recipes.tiny_model" in text
    assert json.loads((tmp_path / "figures.json").read_text())["tables"][0]["rows"] == [
        ["all", 0.51239]
    ]
    assert (tmp_path / "loss.png").stat().st_size > 1000
