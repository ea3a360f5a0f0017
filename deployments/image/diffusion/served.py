"""What a diffusion replica knows of its model beside the engine."""

from __future__ import annotations

from dataclasses import dataclass
from math import lcm
from typing import Protocol

from bestiary.errors import InvalidRequest, UnsupportedParameter
from bestiary.garden.card import ModelCard
from bestiary.garden.image_facts import ImageFacts
from deployments.image.diffusion.codec import Codec
from deployments.image.diffusion.network import UNet
from deployments.image.diffusion.noise_levels import NoiseLevels
from deployments.image.diffusion.prompts import PromptStates
from deployments.image.diffusion.samplers import Samplers
from deployments.image.limits import ImageLimits
from deployments.image.pixels import Floats


class Scorer(Protocol):
    """Tells how well pictures fit what was asked for: `scoring.TextScorer`."""

    def scores(self, pictures: Floats, prompt: str) -> list[float]:
        """Of [n, 3, H, W] in -1..1; more is better."""
        ...


@dataclass(frozen=True, slots=True)
class Enlarging:
    """How a super-resolution model is told of the small picture, and what it computes."""

    scale: int  # of a side
    residual_scale: float | None  # what it computes is added to the bicubic one; None: all of it
    noise_level: int | None  # that the small picture is noised to; None: it is not


@dataclass(frozen=True, slots=True)
class ServedModel:
    card: ModelCard
    revision: str  # of the weights
    facts: ImageFacts
    unet: UNet
    codec: Codec
    samplers: Samplers
    levels: NoiseLevels
    limits: ImageLimits
    prompts: PromptStates | None = None
    enlarging: Enlarging | None = None
    scorer: Scorer | None = None

    @property
    def follows_text(self) -> bool:
        return self.prompts is not None

    def size(self, width: int | None, height: int | None) -> tuple[int, int]:
        """Of what is to be made. Raises InvalidRequest and ImageTooLarge."""
        own = self.facts.width, self.facts.height
        asked = own[0] if width is None else width, own[1] if height is None else height
        if asked == own:
            return own
        if not self.facts.resizable:
            raise InvalidRequest(
                f"{self.card.id} makes pictures of {own[0]}x{own[1]} pixels only", "size"
            )
        self.limits.check_size(*asked, "size")
        step = lcm(self.facts.size_step, self.codec.factor * self.unet.multiple)
        if asked[0] % step or asked[1] % step:
            raise InvalidRequest(f"both sides have to be multiples of {step} pixels", "size")
        return asked

    def label_number(self, label: str | None) -> int | None:
        """Raises InvalidRequest and UnsupportedParameter."""
        classes = self.facts.classes
        if label is None:
            if classes and self.unet.classes:
                raise InvalidRequest(f"give a label: one of {', '.join(classes)}", "label")
            return None
        if not classes or not self.unet.classes:
            raise UnsupportedParameter(f"{self.card.id} has no classes", "label")
        if label not in classes:
            raise InvalidRequest(f"no class {label!r}; there are {', '.join(classes)}", "label")
        return classes.index(label)
