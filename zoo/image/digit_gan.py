"""Generator against discriminator on digits: both losses in one step, and who is ahead.

The non-saturating loss with the R1 penalty on real pictures (arXiv:1801.04406). Each network gets
the gradient of its own loss alone, from the same weights of both: simultaneous descent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from training.architectures.conditional_gan import ConditionalGan, GanConfig
from training.frechet import frechet_distance
from zoo.data.digits import CLASSES, SIDE, Digits
from zoo.image.digit_reader import Judge

BATCH = 64
PENALTY = 0.3  # gamma of R1
QUICK_PICTURES = 500


class GanTrainee:
    """See `training.loop.Trainee`."""

    model: ConditionalGan

    def __init__(self, training: Digits, held_out: Digits, judge: Judge, seed: int) -> None:
        self.model = untrained(seed)
        self.training, self.held_out = training, held_out
        self.judge = judge
        self._seed = seed
        self._pictures = training.pictures

    def loss(self, step: int) -> Tensor:
        draw = torch.Generator().manual_seed(self._seed * 1_000_003 + step)
        places = torch.randint(len(self.training), (BATCH,), generator=draw)
        labels = self.training.labels[places]
        # Sixteen levels: without the noise the discriminator would look for the steps between.
        grain = (torch.rand(BATCH, 1, SIDE, SIDE, generator=draw) - 0.5) / 8
        real = (self._pictures[places] + grain).clamp(-1, 1).requires_grad_()
        fake = self.model.generator(
            torch.randn(BATCH, self.model.config.latent_size, generator=draw), labels
        )
        return self._judging(real, fake.detach(), labels) + self._making(fake, labels)

    def measure(self) -> Mapping[str, float]:
        found = self.contest(QUICK_PICTURES)
        return {
            "real taken for real": found.real,
            "generated seen through": found.generated,
            "right digit": found.right_digit,
            "Frechet distance / 100": found.distance / 100,
        }

    def contest(self, count: int, seed: int = 1) -> Contest:
        """Between `count` generated digits, as many of each class, and all held-out ones."""
        labels = torch.arange(count) % CLASSES
        made = self.samples(labels, seed)
        with torch.no_grad():
            of_real = self.model.discriminator(self.held_out.pictures, self.held_out.labels)
            of_made = self.model.discriminator(made, labels)
        references = self.judge.features(self.held_out.pictures)
        return Contest(
            real=float((of_real > 0).float().mean()),
            generated=float((of_made < 0).float().mean()),
            right_digit=float((self.judge.read(made) == labels).float().mean()),
            distance=frechet_distance(self.judge.features(made), references),
        )

    @torch.no_grad()  # type: ignore[untyped-decorator]  # torch is not followed
    def samples(self, labels: Tensor, seed: int, truncation: float = 1.0) -> Tensor:
        """[N, 1, 8, 8] in [-1, 1]; `truncation` scales the noise."""
        draw = torch.Generator().manual_seed(seed)
        noise = torch.randn(len(labels), self.model.config.latent_size, generator=draw)
        pictures: Tensor = self.model.generator(truncation * noise, labels)
        return pictures

    def _judging(self, real: Tensor, fake: Tensor, labels: Tensor) -> Tensor:
        of_real = self.model.discriminator(real, labels)
        of_fake = self.model.discriminator(fake, labels)
        (slope,) = torch.autograd.grad(of_real.sum(), real, create_graph=True)
        steepness = slope.square().flatten(1).sum(1).mean()
        missed = nn.functional.softplus(-of_real) + nn.functional.softplus(of_fake)
        return missed.mean() + PENALTY / 2 * steepness

    def _making(self, fake: Tensor, labels: Tensor) -> Tensor:
        """The generator's: through the discriminator, which learns nothing from it."""
        frozen = {name: one.detach() for name, one in self.model.discriminator.named_parameters()}
        of_fake = functional_call(self.model.discriminator, frozen, (fake, labels))
        return nn.functional.softplus(-of_fake).mean()


@dataclass(frozen=True)
class Contest:
    """Shares, but for the distance."""

    real: float  # held-out digits that the discriminator takes for real
    generated: float  # generated ones that it sees through
    right_digit: float  # generated ones that the reader reads as asked
    distance: float  # Frechet, on the reader's features, to the held-out digits


@dataclass(frozen=True)
class Calibration:
    """P(real) = sigmoid(scale * logit + bias) (Platt, 1999), for as many real as generated."""

    scale: float
    bias: float

    def probability(self, logits: Tensor) -> Tensor:
        return torch.sigmoid(self.scale * logits + self.bias)


def calibrated(of_real: Tensor, of_made: Tensor) -> Calibration:
    """The likeliest scale and bias, both sides weighed alike."""
    logits = torch.cat((of_real, of_made)).double()
    labels = torch.cat((torch.ones_like(of_real), torch.zeros_like(of_made))).double()
    weights = torch.cat(
        (torch.full_like(of_real, 0.5 / len(of_real)), torch.full_like(of_made, 0.5 / len(of_made)))
    ).double()
    line = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([line], max_iter=100, line_search_fn="strong_wolfe")

    def miss() -> Tensor:
        search.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(
            line[0] * logits + line[1], labels, weight=weights, reduction="sum"
        )
        loss.backward()
        return loss

    search.step(miss)
    scale, bias = line.detach().tolist()
    return Calibration(scale, bias)


def expected_calibration_error(probabilities: Tensor, labels: Tensor, bins: int = 10) -> float:
    """How far shares and probabilities are apart in equal bins, weighed by their sizes
    (arXiv:1706.04599)."""
    places = (probabilities * bins).long().clamp(max=bins - 1)
    gap = 0.0
    for place in range(bins):
        inside = places == place
        if inside.any():
            off = probabilities[inside].mean() - labels[inside].float().mean()
            gap += float(off.abs()) * int(inside.sum()) / len(labels)
    return gap


def untrained(seed: int) -> ConditionalGan:
    torch.manual_seed(seed)
    made: ConditionalGan = ConditionalGan(
        GanConfig(
            image_size=SIDE,
            channels=1,
            classes=tuple(str(digit) for digit in range(CLASSES)),
            latent_size=24,
            base_size=2,
            widths=(96, 64, 48),
        )
    )
    return made
