"""`digits-gan` as a recipe wants it: data and networks ready, the export with its report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from training.curves import Row
from training.frechet import frechet_distance
from training.loop import State
from zoo.data.digits import CLASSES, digits
from zoo.data.packages import SCIKIT_LEARN
from zoo.half_precision import round_to_half
from zoo.image.digit_gan import (
    Calibration,
    Contest,
    GanTrainee,
    calibrated,
    expected_calibration_error,
)
from zoo.image.digit_pixels_export import LICENSE
from zoo.image.digit_reader import FEATURES, judge
from zoo.image.saving import parameters_of, write_grid
from zoo.model_page import Page, Shown, Table, write_page

SEED, STEPS = 31, 3000
JUDGED = 2000  # generated digits
TRUNCATIONS = (1.0, 0.7, 0.4)


class DigitGan(GanTrainee):
    def export(self, folder: Path, state: State) -> None:
        round_to_half(self.model)
        scores = self._scores()
        line = calibrated(*scores.fitting)
        config = replace(self.model.config, score_scale=line.scale, score_bias=line.bias)
        self.model.save_pretrained(folder, config, torch.float16)
        self._draw(folder)
        last = self.contest(JUDGED)
        headline = {
            "frechet_distance": last.distance,
            "right_class": last.right_digit,
            "real_taken_for_real": last.real,
            "generated_seen_through": last.generated,
        }
        draw_contest(state.history, folder / "contest.png")
        page = Page(
            model="digits-gan",
            title="Handwritten digits by a class-conditional GAN, and its discriminator",
            summary=(
                "A generator of 8x8 digits of a class that is asked for, and the discriminator that"
                " it was trained against, with a calibrated score of being real. The noise scaled"
                " down (truncation) gives likelier and more alike digits; noise vectors can be"
                " added and mixed. The discriminator knows digits drawn by these people and those"
                " of this generator, and nothing of other pictures."
            ),
            license=LICENSE,
            packages=(SCIKIT_LEARN,),
            other_sources=(),
            held_out=(
                f"{len(self.held_out)} digits by the hash of their pixels, {len(self.training)} to"
                " train on. The probability of being real is fitted on every second held-out digit"
                " and as many generated ones, and measured on the others, with other generated"
                " ones. Both networks are stored as moving averages of their training weights."
            ),
            tables=(*self._contests(last, state), scores.table(line)),
            parameters=parameters_of(self.model),
            planned_steps=STEPS,
            seed=SEED,
            headline=headline,
            shown=(
                Shown("samples.png", "Generated, a column per class"),
                Shown("walk.png", "From one noise vector to another, classes 0 to 4"),
                Shown("contest.png", "Who was ahead, and how far generated digits were from real"),
            ),
        )
        write_page(page, state, folder)

    def _scores(self) -> _Scores:
        """Held-out digits by turns, and generated ones of other noise for each half."""
        with torch.no_grad():
            real = self.model.discriminator(self.held_out.pictures, self.held_out.labels)
            made = [
                self.model.discriminator(self.samples(labels, seed), labels)
                for seed, labels in ((11, self.held_out.labels), (12, self.held_out.labels))
            ]
        return _Scores((real[::2], made[0]), (real[1::2], made[1]))

    def _contests(self, last: Contest, state: State) -> tuple[Table, ...]:
        references = self.judge.features(self.held_out.pictures)
        drawn = frechet_distance(self.judge.features(self.training.pictures), references)
        right = self.judge.read(self.held_out.pictures) == self.held_out.labels
        truncated = [self._truncated(scale) for scale in TRUNCATIONS]
        return (
            Table(
                f"{JUDGED} generated digits, and all held-out ones, before the discriminator (at"
                " logit 0), and before a network that reads digits (trained on the same training"
                f" half, not part of this folder); Frechet distance on its {FEATURES} features, to"
                " the held-out digits.",
                ("digits", "taken for real", "right class", "Frechet distance"),
                (
                    ("generated", 1 - last.generated, last.right_digit, last.distance),
                    ("held out; trained on against held out", last.real, _share(right), drawn),
                ),
            ),
            Table(
                "With less noise.",
                ("truncation", "right class", "Frechet distance"),
                tuple(
                    (f"{scale}", found.right_digit, found.distance)
                    for scale, found in zip(TRUNCATIONS, truncated, strict=True)
                ),
            ),
            _over_time(state.history),
        )

    def _truncated(self, scale: float) -> Contest:
        labels = torch.arange(JUDGED) % CLASSES
        made = self.samples(labels, 1, scale)
        references = self.judge.features(self.held_out.pictures)
        right = _share(self.judge.read(made) == labels)
        distance = frechet_distance(self.judge.features(made), references)
        return Contest(real=0.0, generated=0.0, right_digit=right, distance=distance)

    def _draw(self, folder: Path) -> None:
        made = self.samples(torch.arange(6 * CLASSES) % CLASSES, seed=2)
        write_grid(made, CLASSES, folder / "samples.png", enlarged=5)
        draw = torch.Generator().manual_seed(5)
        ends = torch.randn(2, self.model.config.latent_size, generator=draw)
        steps = torch.linspace(0, 1, 11)[:, None]
        walk = (ends[0] * (1 - steps) + ends[1] * steps) / ((1 - steps) ** 2 + steps**2).sqrt()
        with torch.no_grad():
            rows = [self.model.generator(walk, torch.full((11,), digit)) for digit in range(5)]
        write_grid(torch.cat(rows), 11, folder / "walk.png", enlarged=5)


class _Scores:
    """Logits of real and of generated digits: those that are fitted to, and those that judge."""

    def __init__(self, fitting: tuple[Tensor, Tensor], judging: tuple[Tensor, Tensor]) -> None:
        self.fitting = fitting
        self._judging = judging

    def table(self, line: Calibration) -> Table:
        real, made = self._judging
        made = made[: len(real)]
        logits = torch.cat((real, made))
        labels = torch.cat((torch.ones_like(real), torch.zeros_like(made)))
        rows = []
        for name, used in (("as trained", Calibration(1.0, 0.0)), ("calibrated", line)):
            chances = used.probability(logits)
            surprise = torch.nn.functional.binary_cross_entropy(chances, labels)
            right = _share((chances > 0.5) == labels.bool())
            error = expected_calibration_error(chances, labels)
            rows.append((name, right, float(surprise), error))
        return Table(
            "The discriminator's probability that a digit is real, half of them real:"
            f" sigmoid({line.scale:.3f} * logit + {line.bias:.3f}).",
            ("", "right", "cross-entropy (0.693 for a coin)", "expected calibration error"),
            tuple(rows),
        )


def digit_gan(seed: int) -> DigitGan:
    training, held_out = digits()
    return DigitGan(training, held_out, judge(training), seed)


def draw_contest(history: Sequence[Row], path: Path) -> None:
    """Shares over the steps, and beside them the Frechet distance."""
    figure = Figure(figsize=(9, 3.4), dpi=110, layout="constrained")
    shares, distances = figure.subplots(1, 2)
    steps = [row.step for row in history]
    for name in ("real taken for real", "generated seen through", "right digit"):
        shares.plot(steps, [row.held_out[name] for row in history], label=name)
    shares.set_ylim(0, 1.02)
    distances.semilogy(
        steps, [100 * row.held_out["Frechet distance / 100"] for row in history], color="black"
    )
    distances.set_ylabel("Frechet distance to held-out digits")
    for axis in (shares, distances):
        axis.set_xlabel("step")
        axis.grid(alpha=0.3)
    shares.legend(fontsize=8)
    figure.savefig(path)


def _over_time(history: Sequence[Row]) -> Table:
    every = max(1, len(history) // 8)
    kept = [*history[::every]] + ([] if (len(history) - 1) % every == 0 else [history[-1]])
    return Table(
        "Over time, on the held-out digits and 500 generated ones.",
        (
            "step",
            "real taken for real",
            "generated seen through",
            "right class",
            "Frechet distance",
        ),
        tuple(
            (
                row.step,
                row.held_out["real taken for real"],
                row.held_out["generated seen through"],
                row.held_out["right digit"],
                100 * row.held_out["Frechet distance / 100"],
            )
            for row in kept
        ),
    )


def _share(hits: Tensor) -> float:
    return float(hits.float().mean())
