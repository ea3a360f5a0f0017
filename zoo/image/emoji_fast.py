"""The text-to-image model in four steps: a student that repeats the ways its teacher went.

The teacher goes from noise to a picture in many guided DDIM steps, once for each of some thousands
of prompts and noises; of each way only a few states are kept. The student learns to get from each
kept state to the next in one step: a distillation of trajectories with the guidance inside, after
arXiv:2202.00512 and arXiv:2210.03142, but on ways that were gone before. One evaluation a step.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import Tensor

from training.denoising import guided, noise_of
from training.noising import Guess
from zoo.data.captions import captions_of
from zoo.data.emoji import EmojiSet, even_weights
from zoo.image.emoji_latents import SHAPE
from zoo.image.emoji_text_to_image import AT_ONCE
from zoo.image.noising import scheduler_config
from zoo.image.prompt_states import PromptEncoder

STUDENT_STEPS = 4
PART = 4  # steps of the teacher in one of the student's
BATCH = 32
QUICK_WAYS = 64


@dataclass(frozen=True)
class Ways:
    """What the teacher did: float16 states [N, STUDENT_STEPS + 1, 4, 16, 16], noise first, and the
    prompts' texts."""

    prompts: tuple[str, ...]
    states: Tensor


class FastTrainee:
    """See `training.loop.Trainee`. Starts as its teacher."""

    model: UNet2DConditionModel

    def __init__(
        self,
        teacher: UNet2DConditionModel,
        training: Ways,
        held_out: Ways,
        encoder: PromptEncoder,
        seed: int,
    ) -> None:
        self.model = teacher
        self.encoder = encoder
        self._ways, self._seed = training, seed
        self._prompts = encoder.kept_states(training.prompts)
        self._measured = held_out
        self._measured_prompts = encoder.states(held_out.prompts)
        self._times, self._signals = student_times()

    def loss(self, step: int) -> Tensor:
        """From one kept state to the next, of ways and places that the step decides."""
        draw = torch.Generator().manual_seed(self._seed * 1_000_003 + step)
        ways = torch.randint(len(self._prompts), (BATCH,), generator=draw)
        places = torch.arange(BATCH) % STUDENT_STEPS  # each step of the student as often
        return self._miss(self._ways.states[ways], places, self._prompts[ways].float())

    def measure(self) -> Mapping[str, float]:
        """Over all four steps, of prompts and noises that were not trained on."""
        states = self._measured.states
        misses = [
            self._miss(states, torch.full((len(states),), place), self._measured_prompts)
            for place in range(STUDENT_STEPS)
        ]
        return {"loss": float(torch.stack(misses).mean())}

    def _miss(self, states: Tensor, places: Tensor, prompts: Tensor) -> Tensor:
        """Squared error of the picture that each step has to aim at.

        A DDIM step leads from x_t to a x + b e, where x and e are the guessed picture and noise:
        the teacher's next state says which x that has to be.
        """
        rows = torch.arange(len(states))
        start, end = states[rows, places].float(), states[rows, places + 1].float()
        signal, spread = (one[places, None, None, None] for one in self._signals.of_start())
        next_signal, next_spread = (one[places, None, None, None] for one in self._signals.of_end())
        times = self._times[places]
        velocity = self.model(start, times, prompts).sample.float()
        ratio = next_spread / spread
        aim = (end - ratio * start) / (next_signal - ratio * signal)
        guessed = signal * start - spread * velocity
        return (guessed - aim).square().mean()


@dataclass(frozen=True)
class Signals:
    """Square roots of the share of signal and of noise at the student's times, and after them."""

    signal: Tensor  # [STUDENT_STEPS + 1]
    spread: Tensor

    def of_start(self) -> tuple[Tensor, Tensor]:
        return self.signal[:-1], self.spread[:-1]

    def of_end(self) -> tuple[Tensor, Tensor]:
        return self.signal[1:], self.spread[1:]


def student_times() -> tuple[Tensor, Signals]:
    """DDIM's own times for so few steps, int64, and the signal at each and at the end."""
    scheduler = DDIMScheduler.from_config(scheduler_config(pixels=False))
    scheduler.set_timesteps(STUDENT_STEPS)
    times = scheduler.timesteps.long()
    last = scheduler.final_alpha_cumprod.reshape(1)
    kept = torch.cat((scheduler.alphas_cumprod[times], last))
    return times, Signals(kept.sqrt(), (1 - kept).sqrt())


def ways_of(
    teacher: UNet2DConditionModel,
    prompts: tuple[str, ...],
    encoder: PromptEncoder,
    seed: int,
    guidance: float,
    kept: Path | None = None,
) -> Ways:
    """Goes them, a batch at a time; with `kept`, only once."""
    if kept is not None and kept.exists():
        return Ways(prompts, load_file(kept)["states"])
    nothing = encoder.states([""])
    noise = noise_of(len(prompts), SHAPE, seed)
    parts = []
    for start in range(0, len(prompts), AT_ONCE):
        states = encoder.states(prompts[start : start + AT_ONCE])
        guess = guided(teacher, states, nothing, guidance)
        parts.append(_way(guess, noise[start : start + AT_ONCE]))
    gone = Ways(prompts, torch.cat(parts).half())
    if kept is not None:
        partial = kept.with_suffix(f".{os.getpid()}")
        save_file({"states": gone.states}, partial)
        partial.replace(kept)
    return gone


@torch.no_grad()  # type: ignore[untyped-decorator]  # torch is not followed
def _way(guess: Guess, noise: Tensor) -> Tensor:
    """[B, STUDENT_STEPS + 1, ...]: the states at the student's times, and the picture."""
    scheduler = DDIMScheduler.from_config(scheduler_config(pixels=False))
    scheduler.set_timesteps(STUDENT_STEPS * PART)
    state = noise
    found = [state]
    for place, time in enumerate(scheduler.timesteps):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            velocity = guess(state, time.repeat(len(state)).long()).float()
        state = scheduler.step(velocity, time, state).prev_sample
        if (place + 1) % PART == 0:
            found.append(state)
    return torch.stack(found, 1)


def drawn_prompts(found: EmojiSet, count: int, seed: int) -> tuple[str, ...]:
    """One caption each of as many pictures, drawn as in the teacher's training, none empty."""
    draw = torch.Generator().manual_seed(seed)
    places = torch.multinomial(even_weights(found), count, replacement=True, generator=draw)
    texts = []
    for place in places.tolist():
        said = captions_of(found.pictures[place])
        chances = torch.tensor([chance for _, chance in said])
        texts.append(said[int(torch.multinomial(chances, 1, generator=draw))][0])
    return tuple(texts)
