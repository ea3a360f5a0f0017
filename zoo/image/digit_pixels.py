"""Digits pixel by pixel: a small ImageGPT whose first token is the class.

Levels 0..16 are the tokens 0..16, then come the ten classes, and last the token for any class,
where ImageGPT has its start. The tokens of classes are never predicted: what is left of the
softmax without them is the model's distribution, and the bits are of that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from transformers import ImageGPTConfig, ImageGPTForCausalImageModeling

from zoo.data.digits import CLASSES, LEVELS, SIDE, Digits

PIXELS = SIDE * SIDE
FIRST_CLASS = LEVELS  # the token of digit 0
ANY = FIRST_CLASS + CLASSES
BATCH = 64
UNSAID = 0.15  # share of examples whose class is not told
AT_ONCE = 256


class PixelTrainee:
    """See `training.loop.Trainee`."""

    model: ImageGPTForCausalImageModeling

    def __init__(self, training: Digits, held_out: Digits, seed: int) -> None:
        self.model = untrained(seed)
        self.training, self.held_out = training, held_out
        self._seed = seed

    def loss(self, step: int) -> Tensor:
        draw = torch.Generator().manual_seed(self._seed * 1_000_003 + step)
        places = torch.randint(len(self.training), (BATCH,), generator=draw)
        firsts = self.training.labels[places] + FIRST_CLASS
        firsts[torch.rand(BATCH, generator=draw) < UNSAID] = ANY
        return surprise(self.model, firsts, self.training.levels[places]).mean()

    def measure(self) -> Mapping[str, float]:
        return {"bits per dimension": self.bits(self.held_out)}

    def bits(self, found: Digits, *, told: bool = True) -> float:
        """Per pixel, mean; with the class told to the model, or without."""
        self.model.eval()
        firsts = found.labels + FIRST_CLASS if told else torch.full_like(found.labels, ANY)
        with torch.no_grad():
            parts = [
                surprise(self.model, firsts[start : start + AT_ONCE], levels)
                for start, levels in _parts(found.levels)
            ]
        return float(torch.cat(parts).double().mean()) / math.log(2)

    def samples(self, labels: Tensor, seed: int, temperature: float = 1.0) -> Tensor:
        """Levels [N, 64], one digit for each of `labels`. Plain, without a cache."""
        return completed(
            self.model, labels + FIRST_CLASS, labels.new_empty(len(labels), 0), seed, temperature
        )


def untrained(seed: int) -> ImageGPTForCausalImageModeling:
    torch.manual_seed(seed)
    return ImageGPTForCausalImageModeling(
        ImageGPTConfig(
            vocab_size=ANY + 1,
            n_positions=PIXELS,
            n_embd=96,
            n_layer=5,
            n_head=4,
            resid_pdrop=0.15,
            embd_pdrop=0.1,
            attn_pdrop=0.1,
        )
    )


def surprise(model: ImageGPTForCausalImageModeling, firsts: Tensor, levels: Tensor) -> Tensor:
    """-ln p of every pixel, [B, 64], for first tokens [B] and levels [B, 64]."""
    inputs = torch.cat((firsts[:, None], levels[:, :-1]), 1)
    logits = model(input_ids=inputs, use_cache=False).logits[..., :LEVELS].float()
    return torch.nn.functional.cross_entropy(logits.transpose(1, 2), levels, reduction="none")


@torch.no_grad()  # type: ignore[untyped-decorator]  # torch is not followed
def completed(
    model: ImageGPTForCausalImageModeling,
    firsts: Tensor,
    beginnings: Tensor,
    seed: int,
    temperature: float = 1.0,
) -> Tensor:
    """Levels [B, 64] that begin with `beginnings` [B, n]."""
    draw = torch.Generator().manual_seed(seed)
    tokens = torch.cat((firsts[:, None], beginnings), 1)
    while tokens.shape[1] <= PIXELS:
        logits = model(input_ids=tokens, use_cache=False).logits[:, -1, :LEVELS].float()
        drawn = torch.multinomial((logits / temperature).softmax(-1), 1, generator=draw)
        tokens = torch.cat((tokens, drawn), 1)
    return tokens[:, 1:]


def _parts(levels: Tensor) -> list[tuple[int, Tensor]]:
    return [(start, levels[start : start + AT_ONCE]) for start in range(0, len(levels), AT_ONCE)]
