"""Emoji from words, 64x64 pixels: latent diffusion (arXiv:2112.10752) in `emoji-vae`'s latents.

The UNet reads MiniLM's token states twice: by cross-attention at 8x8, and pooled beside the time,
which every block sees. Classifier-free guidance (arXiv:2207.12598): some prompts are empty in
training, so that one network knows both what is asked for and what is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor

from training.denoising import SchedulerClass, denoised, guided, noise_of
from training.noising import Guess
from zoo.data.captions import captions_of, title_of
from zoo.data.emoji import EmojiSet, even_weights
from zoo.image.emoji_latents import SHAPE, latents_of_pixels, pictures_of_latents
from zoo.image.noising import noising, scheduler_config
from zoo.image.prompt_states import DIMENSIONS, PromptEncoder

BATCH = 32
UNSAID = 0.12  # share of empty prompts
GUIDANCE, STEPS = 3.0, 20  # what the pages show and the card proposes
QUICK_PICTURES = 128
AT_ONCE = 32


class TextToImageTrainee:
    """See `training.loop.Trainee`."""

    model: UNet2DConditionModel

    def __init__(
        self,
        training: EmojiSet,
        held_out: EmojiSet,
        encoder: PromptEncoder,
        seed: int,
    ) -> None:
        self.model = untrained(seed)
        self.training, self.held_out = training, held_out
        self.encoder = encoder
        self._seed = seed
        self._noising = noising(pixels=False)
        self._weights = even_weights(training)
        self._prompts = Prompts(training, encoder)
        every = max(1, len(held_out) // QUICK_PICTURES)
        shown = held_out.where(range(0, len(held_out), every))
        self._latents = latents_of_pixels(training.pixels)
        self._measured = latents_of_pixels(shown.pixels)
        self._measured_states = encoder.states([title_of(one) for one in shown.pictures])

    def loss(self, step: int) -> Tensor:
        draw = torch.Generator().manual_seed(self._seed * 1_000_003 + step)
        places = torch.multinomial(self._weights, BATCH, replacement=True, generator=draw)
        states = self._prompts.drawn(places, draw)
        return self._noising.loss(self._latents[places], self._guess_of(states), draw)

    def measure(self) -> Mapping[str, float]:
        """The same noise at the same times in every call."""
        draw = torch.Generator().manual_seed(0)
        guess = self._guess_of(self._measured_states)
        return {"loss": float(self._noising.loss(self._measured, guess, draw))}

    def pictures(
        self,
        prompts: Sequence[str],
        seed: int,
        *,
        steps: int = STEPS,
        guidance: float = GUIDANCE,
        kind: SchedulerClass = DDIMScheduler,
    ) -> Tensor:
        """[N, 3, 64, 64] in [-1, 1]."""
        return pictures_of(self.model, self.encoder, prompts, seed, steps, guidance, kind)

    def _guess_of(self, states: Tensor) -> Guess:
        def guess(noised: Tensor, times: Tensor) -> Tensor:
            velocity: Tensor = self.model(noised, times, states).sample
            return velocity

        return guess


class Prompts:
    """The states of every caption of a set, and the empty one's; drawn by their chances."""

    def __init__(self, found: EmojiSet, encoder: PromptEncoder) -> None:
        said = [captions_of(one) for one in found.pictures]
        texts = ["", *sorted({text for one in said for text, _ in one})]
        places = {text: at for at, text in enumerate(texts)}
        self._states = encoder.kept_states(texts)
        self._captions = [torch.tensor([places[text] for text, _ in one]) for one in said]
        self._chances = [torch.tensor([chance for _, chance in one]) for one in said]

    def drawn(self, places: Tensor, draw: torch.Generator) -> Tensor:
        """[B, 24, 384] for the pictures at `places`; some of nothing."""
        unsaid = torch.rand(len(places), generator=draw) < UNSAID
        chosen = [
            0 if empty else int(self._captions[at][self._one(at, draw)])
            for at, empty in zip(places.tolist(), unsaid.tolist(), strict=True)
        ]
        return self._states[torch.tensor(chosen)].float()

    def _one(self, place: int, draw: torch.Generator) -> int:
        return int(torch.multinomial(self._chances[place], 1, generator=draw))


def untrained(seed: int, channels: tuple[int, int] = (80, 160)) -> UNet2DConditionModel:
    """`channels` at 16x16 and 8x8; only there the prompt is attended to."""
    torch.manual_seed(seed)
    return UNet2DConditionModel(
        sample_size=SHAPE[-1],
        in_channels=SHAPE[0],
        out_channels=SHAPE[0],
        block_out_channels=channels,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=DIMENSIONS,
        addition_embed_type="text",
        addition_embed_type_num_heads=8,
        attention_head_dim=4,  # diffusers' old name for the number of heads
        norm_num_groups=8,
    )


def pictures_of(
    model: UNet2DConditionModel,
    encoder: PromptEncoder,
    prompts: Sequence[str],
    seed: int,
    steps: int,
    guidance: float,
    kind: SchedulerClass = DDIMScheduler,
) -> Tensor:
    """[N, 3, 64, 64] in [-1, 1], each with noise of its own."""
    noise = noise_of(len(prompts), SHAPE, seed)
    nothing = encoder.states([""])
    config = scheduler_config(pixels=False)
    found = []
    for start in range(0, len(prompts), AT_ONCE):
        states = encoder.states(prompts[start : start + AT_ONCE])
        guess = guided(model, states, nothing, guidance)
        found.append(denoised(guess, noise[start : start + AT_ONCE], config, steps, kind))
    return pictures_of_latents(torch.cat(found))
