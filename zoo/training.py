"""The loop that every recipe runs: seeded, interruptible, resumable to the same numbers.

Everything random in a step comes from the plan's seed and the step's number, so a run that was
killed and resumed ends in the weights of one that never stopped. Knows no data and no text.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from zoo.averaging import MovingAverage
from zoo.curves import Row

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class Plan:
    steps: int
    learning_rate: float  # between the warm-up and the cooldown
    warmup: int  # steps, linear
    seed: int
    cooldown: float = 0.35  # share of the steps, linear down to nothing at the end
    weight_decay: float = 0.01
    clip: float = 1.0  # norm of all gradients together
    measure_every: int = 200  # steps
    checkpoint_every: int = 50  # steps
    bfloat16: bool = True  # matrix products only, torch's autocast
    threads: int = 1
    betas: tuple[float, float] = (0.9, 0.98)  # of AdamW
    average: float = 0.0  # decay of the moving average that is kept instead; 0: the last weights

    def learning_rate_at(self, step: int) -> float:
        """`step` counts from 0. A constant with a cooldown (arXiv:2405.18392): until the cooldown
        begins, a plan of more or fewer steps goes the same way, so a run can be cut short."""
        left = (self.steps - step) / max(1.0, self.cooldown * self.steps)
        return self.learning_rate * min(1.0, (step + 1) / max(1, self.warmup), max(0.0, left))


class Trainee(Protocol):
    """A model and its examples."""

    model: nn.Module

    def loss(self, step: int) -> Tensor:
        """The mean loss over the examples of this step, the same ones in every run."""
        ...

    def measure(self) -> Mapping[str, float]:
        """A few quick figures on held-out examples; nothing is chosen by them."""
        ...


@dataclass
class State:
    """What a checkpoint holds beside weights and moments."""

    step: int = 0
    cpu_s: float = 0.0  # of this process, over all its runs
    history: list[Row] = field(default_factory=list)


def train(
    trainee: Trainee, plan: Plan, folder: Path, *, resume: bool, until: int | None = None
) -> State:
    """Trains to the plan's last step, with checkpoints in `folder`.

    `until` stops before that, as a kill would. Without `resume` an older checkpoint is
    overwritten.
    """
    torch.set_num_threads(plan.threads)
    folder.mkdir(parents=True, exist_ok=True)
    learned = [one for one in trainee.model.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(
        learned, lr=0.0, betas=plan.betas, weight_decay=plan.weight_decay, fused=True
    )
    average = MovingAverage(trainee.model, plan.average)
    state = load(trainee.model, folder, optimizer, average) if resume else State()
    last = plan.steps if until is None else min(until, plan.steps)
    started, before = time.process_time(), state.cpu_s
    recent = _Mean()
    with _bar() as bar:
        task = bar.add_task("training", total=last, completed=state.step, loss=math.nan)
        while state.step < last:
            rate = plan.learning_rate_at(state.step)
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss = _step(trainee, plan, state.step, optimizer, learned)
            average.update(state.step)
            recent.add(loss)
            state.step += 1
            state.cpu_s = before + time.process_time() - started
            bar.update(task, completed=state.step, loss=loss)
            if state.step % plan.measure_every == 0 or state.step == last:
                with average.in_place():
                    measured = _measured(trainee)
                row = Row(state.step, recent.take(), rate, state.cpu_s / 60, measured)
                state.history.append(row)
                bar.console.print(row.line(), soft_wrap=True)
            if state.step % plan.checkpoint_every == 0 or state.step == last:
                save(trainee.model, folder, optimizer, state, average)
    average.take_over()
    return state


def save(
    model: nn.Module,
    folder: Path,
    optimizer: torch.optim.Optimizer,
    state: State,
    average: MovingAverage,
) -> None:
    """All at once or not at all: a kill leaves the checkpoint before."""
    partial = folder / f"{CHECKPOINT}.{os.getpid()}"
    learned = {name for name, one in model.named_parameters() if one.requires_grad}
    kept = {name: value for name, value in model.state_dict().items() if name in learned}
    content = {
        "model": kept,
        "average": average.weights,
        "optimizer": optimizer.state_dict(),
        "step": state.step,
        "cpu_s": state.cpu_s,
        "history": [row.values() for row in state.history],
    }
    torch.save(content, partial)
    partial.replace(folder / CHECKPOINT)


def load(
    model: nn.Module,
    folder: Path,
    optimizer: torch.optim.Optimizer | None = None,
    average: MovingAverage | None = None,
) -> State:
    """Fills the model; a fresh state where there is no checkpoint.

    To go on training, give the optimizer and the average; without them the model gets the
    averaged weights, where some were kept.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return State()
    content = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict(content["model"], strict=False)
    averaged = content.get("average", {})  # runs from before there were averages have none
    if optimizer is not None:
        optimizer.load_state_dict(content["optimizer"])
    if average is not None:
        average.weights.update(averaged)
    else:
        model.load_state_dict(averaged, strict=False)
    history = [Row.of(values) for values in content["history"]]
    return State(content["step"], content["cpu_s"], history)


def _step(
    trainee: Trainee,
    plan: Plan,
    step: int,
    optimizer: torch.optim.Optimizer,
    learned: list[nn.Parameter],
) -> float:
    # Dropout and the like: a function of the step, not of what ran before it.
    torch.manual_seed(plan.seed * 1_000_003 + step)
    trainee.model.train()
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=plan.bfloat16):
        loss = trainee.loss(step)
    loss.backward()
    nn.utils.clip_grad_norm_(learned, plan.clip)
    optimizer.step()
    value = float(loss.detach())
    if not math.isfinite(value):
        raise FloatingPointError(f"the loss of step {step} is {value}; try a lower learning rate")
    return value


def _measured(trainee: Trainee) -> dict[str, float]:
    trainee.model.eval()
    with torch.no_grad():
        return dict(trainee.measure())


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TimeRemainingColumn(),
    )


class _Mean:
    def __init__(self) -> None:
        self._values: list[float] = []

    def add(self, value: float) -> None:
        self._values.append(value)

    def take(self) -> float:
        """The mean since the last time."""
        mean = sum(self._values) / max(1, len(self._values))
        self._values.clear()
        return mean
