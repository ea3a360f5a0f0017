"""How a training went: one row per measurement, as CSV and as a picture."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    step: int
    loss: float  # mean over the steps since the row before
    learning_rate: float
    cpu_minutes: float
    held_out: Mapping[str, float]

    def values(self) -> dict[str, float | int]:
        named: dict[str, float | int] = {f"held_out_{key}": x for key, x in self.held_out.items()}
        fixed: dict[str, float | int] = {
            "step": self.step,
            "loss": self.loss,
            "learning_rate": self.learning_rate,
            "cpu_minutes": self.cpu_minutes,
        }
        return fixed | named

    @classmethod
    def of(cls, values: Mapping[str, float | int]) -> Row:
        prefix = "held_out_"
        held_out = {
            key.removeprefix(prefix): float(value)
            for key, value in values.items()
            if key.startswith(prefix)
        }
        return cls(
            int(values["step"]),
            float(values["loss"]),
            float(values["learning_rate"]),
            float(values["cpu_minutes"]),
            held_out,
        )

    def line(self) -> str:
        measured = "  ".join(f"{name} {value:.4f}" for name, value in self.held_out.items())
        return (
            f"step {self.step}  loss {self.loss:.4f}  held out: {measured}"
            f"  ({self.cpu_minutes:.1f} CPU minutes)"
        )


def write_csv(history: Sequence[Row], path: Path) -> None:
    rows = [row.values() for row in history]
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: f"{value:.6g}" for name, value in row.items()})


def draw(history: Sequence[Row], title: str, path: Path) -> None:
    """The losses, and beside them what else was measured on held-out examples."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(name for row in history for name in row.held_out))
    losses = [name for name in names if name.startswith("loss")]
    others = [name for name in names if name not in losses]
    figure = Figure(figsize=(9 if others else 5.5, 3.4), dpi=110, layout="constrained")
    axes = figure.subplots(1, 2 if others else 1, squeeze=False)[0]
    axes[0].plot([row.step for row in history], [row.loss for row in history], label="training")
    axes[0].set_ylabel("loss")
    for axis, shown in zip(axes, (losses, others), strict=False):
        for name in shown:
            rows = [row for row in history if name in row.held_out]
            values = [row.held_out[name] for row in rows]
            axis.plot([row.step for row in rows], values, label=f"held out: {name}")
        axis.set_xlabel("step")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path)
