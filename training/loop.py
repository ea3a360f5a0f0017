"""The loop that every training runs: seeded, interruptible, resumable to the same numbers.

Everything random in a step comes from the plan's seed and the step's number, so a run that was
killed and resumed ends in the weights of one that never stopped. Knows no data and no text.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from training.averaging import MovingAverage
from training.console import ConsoleWatcher
from training.curves import Row
from training.precision import multiplies_in_bfloat16
from training.share import ALONE, Parted, Share
from training.watching import Step, Watcher

CHECKPOINT = "checkpoint.pt"
BEST = "best.pt"


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
    # Matrix products only, torch's autocast. None: where the device has instructions for them.
    bfloat16: bool | None = None
    threads: int = 1
    betas: tuple[float, float] = (0.9, 0.98)  # of AdamW
    average: float = 0.0  # decay of the moving average that is kept instead; 0: the last weights
    accumulate: int = 1  # batches whose mean gradient makes one step
    patience: int = 0  # measurements without a lower held-out loss before it ends; 0: all steps

    def learning_rate_at(self, step: int) -> float:
        """`step` counts from 0. A constant with a cooldown (arXiv:2405.18392): until the cooldown
        begins, a plan of more or fewer steps goes the same way, so a run can be cut short."""
        left = (self.steps - step) / max(1.0, self.cooldown * self.steps)
        return self.learning_rate * min(1.0, (step + 1) / max(1, self.warmup), max(0.0, left))


class Trainee(Protocol):
    """A model and its examples."""

    model: nn.Module

    def loss(self, step: int) -> Tensor:
        """The mean loss over the examples of this batch, the same ones in every run.

        With `Plan.accumulate` several batches make a step, and they are counted, not steps.
        """
        ...

    def measure(self) -> Mapping[str, float]:
        """A few quick figures on held-out examples. `loss` decides where `patience` is asked."""
        ...


@dataclass
class State:
    """What a checkpoint holds beside weights and moments."""

    step: int = 0
    cpu_s: float = 0.0  # of this process, over all its runs
    history: list[Row] = field(default_factory=list)
    recent: list[float] = field(default_factory=list)  # losses since the last row

    def ended_early(self, patience: int) -> bool:
        """The last `patience` measurements brought no held-out loss under the best before."""
        losses = [row.held_out["loss"] for row in self.history if "loss" in row.held_out]
        if not patience or len(losses) <= patience:
            return False
        return min(losses[-patience:]) >= min(losses[:-patience])

    @property
    def last_is_best(self) -> bool:
        losses = [row.held_out.get("loss", math.inf) for row in self.history]
        return bool(losses) and losses[-1] <= min(losses)


def train(
    trainee: Trainee,
    plan: Plan,
    folder: Path,
    *,
    resume: bool,
    until: int | None = None,
    watcher: Watcher | None = None,
    share: Share = ALONE,
) -> State:
    """Trains to the plan's last step, with checkpoints in `folder`.

    `until` stops before that, as a kill would. Without `resume` an older checkpoint is
    overwritten. `watcher` is told of every step and may end the run after it: the checkpoint
    is of that step then. With `patience` the model ends with its best weights. Of several
    processes only the first is watched, measures, and writes; all of them read `folder`.

    Raises FloatingPointError where the loss is not finite, Parted where a process is missing,
    and what the watcher raises.
    """
    torch.set_num_threads(plan.threads)
    folder.mkdir(parents=True, exist_ok=True)
    learned = [one for one in trainee.model.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(
        learned, lr=0.0, betas=plan.betas, weight_decay=plan.weight_decay, fused=True
    )
    average = MovingAverage(trainee.model, plan.average)
    state = load(trainee.model, folder, optimizer, average) if resume else State()
    if share.agree(state.step) != state.step:
        raise Parted(f"process {share.rank} has another checkpoint than the first one")
    last = plan.steps if until is None else min(until, plan.steps)
    started, before = time.process_time(), state.cpu_s
    with watcher or ConsoleWatcher(last, state.step) as watching:
        while state.step < last and not state.ended_early(plan.patience):
            rate = plan.learning_rate_at(state.step)
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss, norm = _step(trainee, plan, state.step, optimizer, learned, share)
            average.update(state.step)
            state.recent.append(loss)
            state.step += 1
            state.cpu_s = before + time.process_time() - started
            if state.step % plan.measure_every == 0 or state.step == last:
                with average.in_place():
                    measured = share.agree(_measured(trainee) if share.rank == 0 else {})
                row = Row(state.step, _mean(state.recent), rate, state.cpu_s / 60, measured)
                state.recent.clear()
                state.history.append(row)
                if plan.patience and state.last_is_best and share.rank == 0:
                    _save_best(trainee.model, folder, average)
                watching.measured(row)
            go_on = share.agree(watching.stepped(Step(state.step, loss, rate, norm)))
            if state.step % plan.checkpoint_every == 0 or state.step == last or not go_on:
                watching.saving(state.step)
                if share.rank == 0:
                    save(trainee.model, folder, optimizer, state, average)
                watching.saved(state.step)
            if not go_on:
                return state
    if state.step == plan.steps or state.ended_early(plan.patience):
        average.take_over()
        if plan.patience:
            _load_best(trainee.model, folder)
    elif until is not None:
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
    content = {
        "model": _learned(model),
        "average": average.weights,
        "optimizer": optimizer.state_dict(),
        "step": state.step,
        "cpu_s": state.cpu_s,
        "history": [row.values() for row in state.history],
        "recent": list(state.recent),
    }
    _write(content, folder / CHECKPOINT)


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
    return State(content["step"], content["cpu_s"], history, content.get("recent", []))


def _save_best(model: nn.Module, folder: Path, average: MovingAverage) -> None:
    _write(_learned(model) | average.weights, folder / BEST)


def _load_best(model: nn.Module, folder: Path) -> None:
    best = torch.load(folder / BEST, map_location="cpu", weights_only=True)
    model.load_state_dict(best, strict=False)


def _learned(model: nn.Module) -> dict[str, Tensor]:
    names = {name for name, one in model.named_parameters() if one.requires_grad}
    return {name: value for name, value in model.state_dict().items() if name in names}


def _write(content: Mapping[str, object], path: Path) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    torch.save(content, partial)
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)


def _step(
    trainee: Trainee,
    plan: Plan,
    step: int,
    optimizer: torch.optim.Optimizer,
    learned: list[nn.Parameter],
    share: Share,
) -> tuple[float, float]:
    """The mean loss over the step's batches, and the gradients' norm before it was cut."""
    trainee.model.train()
    optimizer.zero_grad(set_to_none=True)
    device = learned[0].device.type
    half = multiplies_in_bfloat16(device) if plan.bfloat16 is None else plan.bfloat16
    value = 0.0
    for place in range(share.rank, plan.accumulate, share.count):
        batch = step * plan.accumulate + place
        # Dropout and the like: a function of the batch, not of what ran before it.
        torch.manual_seed(plan.seed * 1_000_003 + batch)
        with torch.autocast(device, dtype=torch.bfloat16, enabled=half):
            loss = trainee.loss(batch)
        (loss / plan.accumulate).backward()
        value += float(loss.detach()) / plan.accumulate
    value = share.reduce(learned, value)
    norm = float(nn.utils.clip_grad_norm_(learned, plan.clip))
    optimizer.step()
    if not math.isfinite(value):
        raise FloatingPointError(f"the loss of step {step} is {value}; try a lower learning rate")
    return value, norm


def _measured(trainee: Trainee) -> dict[str, float]:
    trainee.model.eval()
    with torch.no_grad():
        return dict(trainee.measure())


def _mean(values: Sequence[float]) -> float:
    return sum(values) / max(1, len(values))
