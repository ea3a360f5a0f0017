"""A request and its pixels -> what all of its pictures share: start, conditions, plan.

Runs the text encoder and the VAE's encoder, so that it belongs into the engine's thread. Nothing is
drawn here but what noises a small picture: that is each candidate's own, in `course.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from bestiary.errors import UnsupportedParameter
from bestiary.schemas.image import (
    Denoising,
    ImageRequest,
    ImageToImageRequest,
    InpaintRequest,
    SampleRequest,
    SuperResolutionRequest,
    TextPrompt,
    TextToImageRequest,
    TrajectoryRequest,
    VariationRequest,
)
from deployments.image.diffusion.course import Conditions, Start
from deployments.image.diffusion.engine import Residual
from deployments.image.diffusion.given import Given
from deployments.image.diffusion.guidance import UNGUIDED
from deployments.image.diffusion.plan import Plan, plan, require_guidance, words_of
from deployments.image.diffusion.prompts import EMPTY, read_prompt
from deployments.image.diffusion.served import ServedModel
from deployments.image.fitting import Mask
from deployments.image.pixels import Floats, to_floats

LOW_RESOLUTION_SEED = 0  # the small picture is noised alike for every candidate


@dataclass(frozen=True, slots=True)
class Setting:
    plan: Plan
    start: Start
    conditions: Conditions
    strength: float = 1.0
    residual: Residual | None = None
    size: tuple[int, int] | None = None  # width, height: what is cut out of the result; None: all


def setting(request: ImageRequest, pixels: Given, model: ServedModel) -> Setting:
    """Raises InvalidRequest and UnsupportedParameter."""
    return SETTERS[type(request)](request, pixels, model)


def _sample(request: ImageRequest, pixels: Given, model: ServedModel) -> Setting:
    assert isinstance(request, SampleRequest)
    for name in ("truncation", "temperature", "top_k"):
        if getattr(request, name) is not None:
            raise UnsupportedParameter(f"diffusion has no {name}", name)
    if request.latent_terms:
        raise UnsupportedParameter("diffusion has no latent arithmetic", "latent_terms")
    label = model.label_number(request.label)
    made, prompt = _planned(request.denoising, None, model)
    start = Start(_shape(model, *model.size(request.width, request.height)))
    return Setting(made, start, _conditions(prompt, made, model, label=label))


def _of_text(request: ImageRequest, pixels: Given, model: ServedModel) -> Setting:
    assert isinstance(request, TextToImageRequest)
    made, prompt = _planned(request.denoising, request.prompt, model)
    start = Start(_shape(model, *model.size(request.width, request.height)))
    return Setting(made, start, _conditions(prompt, made, model))


def _from_image(request: ImageRequest, pixels: Given, model: ServedModel) -> Setting:
    assert isinstance(request, ImageToImageRequest | VariationRequest)
    asked = request.prompt if isinstance(request, ImageToImageRequest) else None
    made, prompt = _planned(request.denoising, asked, model)
    start = Start(_own_shape(model), _encoded(pixels, model), from_noise=False)
    return Setting(made, start, _conditions(prompt, made, model), request.strength)


def _inpainted(request: ImageRequest, pixels: Given, model: ServedModel) -> Setting:
    assert isinstance(request, InpaintRequest)
    assert pixels.mask is not None
    made, prompt = _planned(request.denoising, request.prompt, model)
    fresh = _places(pixels.mask, model.codec.factor)
    start = Start(
        _own_shape(model), _encoded(pixels, model), fresh, from_noise=request.strength >= 1
    )
    conditions = _conditions(prompt, made, model, _beside(pixels, fresh, model))
    return Setting(made, start, conditions, request.strength)


def _enlarged(request: ImageRequest, pixels: Given, model: ServedModel) -> Setting:
    assert isinstance(request, SuperResolutionRequest)
    assert pixels.image is not None
    enlarging = model.enlarging
    if enlarging is None:
        raise UnsupportedParameter(f"{model.card.id} does not enlarge pictures", "model")
    made, prompt = _planned(request.denoising, request.prompt, model)
    low = _padded(to_floats(pixels.image), model)
    height, width = pixels.image.shape[:2]
    size = width * enlarging.scale, height * enlarging.scale
    shape = _shape(model, low.shape[2] * enlarging.scale, low.shape[1] * enlarging.scale)
    if enlarging.residual_scale is not None:
        up = _bicubic(low, enlarging.scale)
        residual = Residual(up, enlarging.residual_scale)
        return Setting(made, Start(shape), Conditions(channels=up), residual=residual, size=size)
    level = enlarging.noise_level
    told = low if level is None else _noised(low, level, model)
    conditions = _conditions(prompt, made, model, told, level)
    return Setting(made, Start(shape), conditions, size=size)


def _watched(request: ImageRequest, pixels: Given, model: ServedModel) -> Setting:
    assert isinstance(request, TrajectoryRequest)
    made, prompt = _planned(request.denoising, request.prompt, model)
    label = model.label_number(request.label)
    conditions = _conditions(prompt, made, model, label=label)
    if pixels.image is None:
        return Setting(made, Start(_own_shape(model)), conditions)
    start = Start(_own_shape(model), _encoded(pixels, model), from_noise=False)
    return Setting(made, start, conditions, request.strength)


SETTERS: Mapping[type[ImageRequest], Callable[[ImageRequest, Given, ServedModel], Setting]] = {
    SampleRequest: _sample,
    TextToImageRequest: _of_text,
    ImageToImageRequest: _from_image,
    VariationRequest: _from_image,
    InpaintRequest: _inpainted,
    SuperResolutionRequest: _enlarged,
    TrajectoryRequest: _watched,
}


def _planned(
    asked: Denoising, said: TextPrompt | None, model: ServedModel
) -> tuple[Plan, TextPrompt | None]:
    """How, and towards which words."""
    follows = model.follows_text
    prompt = words_of(said, follows_text=follows)
    guided = prompt is not None and bool(prompt.text or prompt.negative)
    made = plan(asked, model.facts.denoising, model.limits, follows_text=follows, guided=guided)
    require_guidance(prompt, made.guidance)
    return made, prompt


def _conditions(
    prompt: TextPrompt | None,
    made: Plan,
    model: ServedModel,
    channels: Floats | None = None,
    label: int | None = None,
) -> Conditions:
    if prompt is None or model.prompts is None:
        return Conditions(label=label, channels=channels)
    states = model.prompts.of(read_prompt(prompt.text))
    plain = None
    if made.guidance.scale != UNGUIDED:
        negative = read_prompt(prompt.negative, "negative_prompt") if prompt.negative else EMPTY
        plain = model.prompts.of(negative)
    return Conditions(states, plain, label, channels)


def _own_shape(model: ServedModel) -> tuple[int, int, int]:
    return _shape(model, model.facts.width, model.facts.height)


def _shape(model: ServedModel, width: int, height: int) -> tuple[int, int, int]:
    factor = model.codec.factor
    return model.codec.channels, height // factor, width // factor


def _encoded(pixels: Given, model: ServedModel) -> Floats:
    assert pixels.image is not None
    found: Floats = model.codec.encode(to_floats(pixels.image)[None])[0]
    return found


def _places(mask: Mask, factor: int) -> Floats:
    """[1, h, w]: 1 for every place of the latent that a marked pixel lies in."""
    height, width = mask.shape[0] // factor, mask.shape[1] // factor
    cells = mask.reshape(height, factor, width, factor).astype(np.float32)
    marked: Floats = np.max(cells, axis=(1, 3))
    return marked.reshape(1, height, width)


def _beside(pixels: Given, fresh: Floats, model: ServedModel) -> Floats | None:
    """Of a UNet that was trained to inpaint: the mask, and what is left of the picture."""
    if model.unet.in_channels != 2 * model.codec.channels + 1:
        return None
    assert pixels.image is not None
    assert pixels.mask is not None
    left: Floats = np.where(pixels.mask, 0, to_floats(pixels.image)).astype(np.float32)
    return np.concatenate([fresh, model.codec.encode(left[None])[0]])


def _padded(low: Floats, model: ServedModel) -> Floats:
    """Edges repeated until the result's sides are ones that the network can halve."""
    assert model.enlarging is not None
    step = model.codec.factor * model.unet.multiple
    own = max(1, step // model.enlarging.scale)
    down, right = (-low.shape[1] % own, -low.shape[2] % own)
    return np.pad(low, ((0, 0), (0, down), (0, right)), mode="edge")


def _bicubic(low: Floats, scale: int) -> Floats:
    """As torch does it, which is what the model was trained beside."""
    up = torch.nn.functional.interpolate(
        torch.from_numpy(low)[None], scale_factor=float(scale), mode="bicubic", align_corners=False
    )
    found: Floats = up[0].numpy()
    return found


def _noised(low: Floats, level: int, model: ServedModel) -> Floats:
    generator = torch.Generator("cpu").manual_seed(LOW_RESOLUTION_SEED)
    noise = torch.randn(low.shape, generator=generator).numpy()
    return model.levels.noised(low, noise, level)
