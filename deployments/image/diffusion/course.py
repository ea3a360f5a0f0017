"""One picture's way from noise to the end: a step asks for rows of the network and takes them in.

Everything random is drawn from the picture's own generator on the host, so that its company never
changes it. Knows neither requests nor the network; one thread calls it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from deployments.image.diffusion.guidance import Guidance, GuidanceOptions
from deployments.image.diffusion.samplers import Steps
from deployments.image.diffusion.step_cache import StepCache
from deployments.image.pixels import Floats


@dataclass(frozen=True, slots=True)
class Row:
    """What the network sees at once: one sample, at its own timestep."""

    sample: Floats  # [channels, height, width]
    timestep: float
    states: Floats | None  # [tokens, width]
    label: int | None


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the network is told beside the noisy sample."""

    states: Floats | None = None  # of the prompt
    plain_states: Floats | None = None  # of the negative prompt, or of none
    label: int | None = None
    channels: Floats | None = None  # laid behind the sample's: a low-resolution picture, a mask


@dataclass(frozen=True, slots=True)
class Start:
    """Where a picture begins. `original` and `fresh` as the network computes: latents, or pixels.

    `fresh` [1, height, width] is 1 where the picture is made anew; elsewhere it follows the
    original through every step. None: everywhere.
    """

    shape: tuple[int, int, int]  # channels, height, width
    original: Floats | None = None
    fresh: Floats | None = None
    from_noise: bool = True  # else from the original, noised


class Course:
    def __init__(
        self,
        seed: int,
        start: Start,
        steps: Steps,
        conditions: Conditions,
        guidance: GuidanceOptions,
        cache_threshold: float = 0.0,
    ) -> None:
        self._steps = steps
        self._conditions = conditions
        self._guidance = Guidance(guidance, len(steps))
        self._cache = StepCache(cache_threshold)
        self._generator = torch.Generator("cpu").manual_seed(seed)
        self._noise = torch.randn((1, *start.shape), generator=self._generator)
        self._original = _tensor(start.original)
        self._fresh = _tensor(start.fresh)
        begin = None if start.from_noise else self._original
        self._sample = steps.start(self._noise, begin)
        self._seen: Floats | None = None
        self.done = 0
        self.evaluations = 0
        self.cached = 0
        self.prediction: Floats | None = None  # of the last step, guided

    @property
    def steps(self) -> int:
        return len(self._steps)

    @property
    def finished(self) -> bool:
        return self.done == len(self._steps)

    @property
    def sample(self) -> Floats:
        """[channels, height, width], as the noise scheduler has it."""
        found: Floats = self._sample[0].numpy()
        return found

    @property
    def timestep(self) -> float:
        """That the next step is taken at; 0 at the end."""
        return 0.0 if self.finished else self._steps.timestep(self.done)

    def timestep_of(self, step: int) -> float:
        """That step number `step` is taken at."""
        return self._steps.timestep(step)

    @property
    def seen(self) -> Floats:
        """What the network sees of the sample at the next step."""
        if self.finished:
            return self.sample
        found: Floats = self._steps.scaled(self._sample, self.done)[0].numpy()
        return found

    @property
    def most_rows(self) -> int:
        """That any of its steps asks for."""
        return 2 if self._guidance.guides(0) else 1

    def rows(self) -> list[Row]:
        """Of the next step: with the prompt, then, where it is guided, without. None where an
        earlier prediction is near enough: then `advance` with nothing."""
        seen = self._seen = self.seen
        self.prediction = self._cache.find(seen)
        if self.prediction is not None:
            return []
        given = self._conditions
        laid = seen if given.channels is None else np.concatenate([seen, given.channels])
        timestep = self.timestep
        rows = [Row(laid, timestep, given.states, given.label)]
        if self._guidance.wants_both(self.done):
            rows.append(Row(laid, timestep, given.plain_states, given.label))
        return rows

    def advance(self, predictions: list[Floats]) -> None:
        """Takes the step with what the network made of `rows`, in their order."""
        assert self._seen is not None  # `rows` comes first
        if predictions:
            plain = predictions[1] if len(predictions) > 1 else None
            self.prediction = self._guidance.guided(self.done, predictions[0], plain)
            self._cache.keep(self._seen, self.prediction)
            self.evaluations += len(predictions)
        else:
            self.cached += 1
        assert self.prediction is not None
        taken = torch.from_numpy(np.ascontiguousarray(self.prediction))[None]
        self._sample = self._steps.step(taken, self.done, self._sample, self._generator)
        self.done += 1
        if self._fresh is not None and self._original is not None:
            known = self._steps.noised(self._original, self._noise, self.done)
            self._sample = known * (1 - self._fresh) + self._sample * self._fresh


def _tensor(value: Floats | None) -> Tensor | None:
    """[1, ...]."""
    return None if value is None else torch.from_numpy(np.ascontiguousarray(value))[None]
