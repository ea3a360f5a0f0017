"""The few-step student: its times are DDIM's, and it aims at where its teacher went."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor, nn

from zoo.image import emoji_text_to_image
from zoo.image.emoji_fast import (
    PART,
    STUDENT_STEPS,
    FastTrainee,
    Ways,
    student_times,
    ways_of,
)
from zoo.image.emoji_latents import pictures_of_latents
from zoo.image.noising import scheduler_config


class Words:
    """A text encoder whose states are of the prompt's length."""

    def states(self, prompts: tuple[str, ...] | list[str]) -> Tensor:
        lengths = torch.tensor([float(len(prompt)) for prompt in prompts])
        return lengths[:, None, None].expand(-1, 3, 384) / 10

    def kept_states(self, prompts: tuple[str, ...]) -> Tensor:
        return self.states(prompts).half()


class Knowing(nn.Module):
    """Guesses the velocity between a picture and a noise that it was told."""

    def __init__(self, clean: Tensor, noise: Tensor) -> None:
        super().__init__()
        self.clean, self.noise = clean, noise
        self.signals = DDIMScheduler.from_config(scheduler_config(pixels=False)).alphas_cumprod

    def forward(self, noised: Tensor, times: Tensor, prompts: Tensor) -> SimpleNamespace:
        kept = self.signals[times][:, None, None, None]
        return SimpleNamespace(sample=kept.sqrt() * self.noise - (1 - kept).sqrt() * self.clean)


def straight_way(clean: Tensor, noise: Tensor) -> Ways:
    """What a teacher that knows picture and noise goes: on one line between the two."""
    _, signals = student_times()
    states = [
        signal * clean + spread * noise
        for signal, spread in zip(signals.signal, signals.spread, strict=True)
    ]
    return Ways(tuple("abcd"), torch.stack(states, 1))


def test_student_that_knows_the_way_misses_nothing_and_one_that_does_not_misses() -> None:
    draw = torch.Generator().manual_seed(0)
    clean = torch.rand(4, 3, 8, 8, generator=draw) * 2 - 1
    noise = torch.randn(4, 3, 8, 8, generator=draw)
    ways = straight_way(clean, noise)
    words = Words()
    knowing = FastTrainee(Knowing(clean, noise), ways, ways, words, seed=1)  # type: ignore[arg-type]
    mistaken = FastTrainee(Knowing(-clean, noise), ways, ways, words, seed=1)  # type: ignore[arg-type]
    assert knowing.measure()["loss"] < 1e-6
    assert mistaken.measure()["loss"] > 0.1


def test_ways_begin_with_noise_end_with_a_picture_and_are_gone_in_the_students_steps() -> None:
    teacher = emoji_text_to_image.untrained(0, channels=(8, 16))
    teacher.eval()
    assert isinstance(teacher, UNet2DConditionModel)
    gone = ways_of(teacher, ("red", "blue"), Words(), seed=3, guidance=2.0)  # type: ignore[arg-type]
    assert gone.states.shape == (2, STUDENT_STEPS + 1, 4, 16, 16)
    assert abs(float(gone.states[:, 0].float().std()) - 1) < 0.05
    again = emoji_text_to_image.pictures_of(
        teacher,
        Words(),  # type: ignore[arg-type]
        ("red", "blue"),
        seed=3,
        steps=STUDENT_STEPS * PART,
        guidance=2.0,
    )
    pictures = pictures_of_latents(gone.states[:, -1].float())
    # Forty steps one by one: CPUs round products another way, and it adds up in a few pixels.
    apart = (pictures - again).abs()
    assert apart.mean() < 5e-3
    assert apart.max() < 0.15


def test_students_times_are_those_of_the_sampler_it_is_served_with() -> None:
    scheduler = DDIMScheduler.from_config(scheduler_config(pixels=False))
    scheduler.set_timesteps(STUDENT_STEPS)
    times, signals = student_times()
    assert times.tolist() == scheduler.timesteps.tolist() == [999, 749, 499, 249]
    assert float(signals.signal[-1]) == 1.0
    assert float(signals.spread[-1]) == 0.0
    finer = DDIMScheduler.from_config(scheduler_config(pixels=False))
    finer.set_timesteps(STUDENT_STEPS * PART)
    assert set(times.tolist()) <= {int(time) for time in finer.timesteps}
