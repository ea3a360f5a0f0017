"""How a picture is denoised: the request's wishes over the card's defaults, checked.

Knows fields and bounds; no tensors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from bestiary.errors import InvalidRequest, UnsupportedParameter
from bestiary.garden.image_facts import DenoisingDefaults
from bestiary.schemas.image import Denoising, Sampler, TextPrompt
from deployments.image.diffusion.guidance import UNGUIDED, GuidanceOptions
from deployments.image.limits import ImageLimits

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Plan:
    sampler: Sampler
    steps: int
    eta: float
    guidance: GuidanceOptions
    cache_threshold: float


def plan(
    asked: Denoising,
    defaults: DenoisingDefaults,
    limits: ImageLimits,
    *,
    follows_text: bool,
    guided: bool = True,
) -> Plan:
    """`guided`: there are words that guidance could lead to.

    Raises InvalidRequest, and UnsupportedParameter for guidance of a model without text.
    """
    steps = _or(asked.steps, defaults.steps)
    limits.check_steps(steps)
    scale = _or(asked.guidance_scale, defaults.guidance_scale if guided else UNGUIDED)
    if not follows_text:
        if asked.guidance_scale not in (None, UNGUIDED):
            raise UnsupportedParameter(
                "this model reads no text, so that nothing can be guided", "guidance_scale"
            )
        scale = UNGUIDED
    guidance = GuidanceOptions(
        scale=scale,
        share=_or(asked.guidance_share, defaults.guidance_share),
        every=_or(asked.guidance_every, defaults.guidance_every),
    )
    sampler = _or(asked.sampler, defaults.sampler)
    return Plan(sampler, steps, asked.eta, guidance, asked.cache_threshold)


def words_of(prompt: TextPrompt | None, *, follows_text: bool) -> TextPrompt | None:
    """No prompt is an empty one to a model that reads them: a picture of nothing in particular.

    Raises UnsupportedParameter for a prompt that nobody reads.
    """
    if prompt is not None and not follows_text:
        raise UnsupportedParameter("this model reads no prompt", "prompt")
    return TextPrompt(text="") if prompt is None and follows_text else prompt


def require_guidance(prompt: TextPrompt | None, guidance: GuidanceOptions) -> None:
    """Raises InvalidRequest for a negative prompt that nothing would come of."""
    if prompt is not None and prompt.negative and guidance.scale == UNGUIDED:
        raise InvalidRequest(
            "a negative prompt needs guidance: give a guidance_scale over 1", "negative_prompt"
        )


def _or(asked: T | None, default: T) -> T:
    return default if asked is None else asked
