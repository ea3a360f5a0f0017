"""What callers say -> the native wire of images under /v1/images. Pure, but for files it reads.

Which models take which option, the platform says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bestiary_client._image_inputs import (
    ImageInput,
    LatentInput,
    image_of,
    images_of,
    latents_of,
)
from bestiary_client._json import JsonObject
from bestiary_client._requests import Call, RoutingOptions, model_of, post_call, refuse_unknown
from bestiary_client._task_requests import AUTO


class ImageOptions(RoutingOptions, total=False):
    """Of every task. `model` is a card, a deployment or an alias; default: any that can."""


class PictureOptions(ImageOptions, total=False):
    """Of tasks whose answer has pictures."""

    format: str | None  # "png" or "webp"


class DrawOptions(PictureOptions, total=False):
    """Of tasks that make pictures."""

    n: int | None  # pictures
    seed: int | None  # picture i has the seed + i; default: drawn, and told
    best_of: int | None  # candidates per picture, of which the model's scorer keeps the best
    previews: int | None  # streams: unfinished pictures of each, where the model has any


class DenoisingOptions(DrawOptions, total=False):
    """Diffusion models. What is left out is the model's own way."""

    steps: int | None
    sampler: str | None  # "ddim", "dpm++", "euler", "unipc", ...
    eta: float | None  # ddim, tcd: share of fresh noise per step, 0..1
    guidance_scale: float | None  # 1: none, at half the cost
    guidance_share: float | None  # share of the steps that are guided, 0..1
    guidance_every: int | None  # the unguided prediction is made anew every so many steps
    cache_threshold: float | None  # use a prediction again while the latent moved by less


class PromptOptions(DenoisingOptions, total=False):
    negative_prompt: str | None  # what to lead away from


class SizedOptions(PromptOptions, total=False):
    width: int | None  # pixels; default: the model's own
    height: int | None


class StrengthOptions(PromptOptions, total=False):
    strength: float | None  # how much is made anew, over 0 up to 1


class VaryOptions(DenoisingOptions, total=False):
    strength: float | None  # how far from the picture, over 0 up to 1


class SampleOptions(DenoisingOptions, total=False):
    """Which of them do something depends on the model's kind."""

    label: str | None  # a class of the model's
    width: int | None
    height: int | None
    truncation: float | None  # GAN, VAE: bound of the latent's normal
    latent_terms: Sequence[tuple[int, float]] | None  # GAN: (seed, weight), added up
    temperature: float | None  # autoregressive, VAE
    top_k: int | None  # autoregressive; 0: all


class CompleteImageOptions(DrawOptions, total=False):
    keep: float | None  # share of the rows that is kept, from the top
    temperature: float | None
    top_k: int | None


class TrajectoryOptions(PictureOptions, total=False):
    frames: int | None  # the noise and the end included
    label: str | None
    strength: float | None  # with a picture to start from
    seed: int | None
    negative_prompt: str | None
    steps: int | None
    sampler: str | None
    eta: float | None
    guidance_scale: float | None
    guidance_share: float | None
    guidance_every: int | None
    cache_threshold: float | None


def draw_call(
    task: str, body: JsonObject, options: ImageOptions, known: type[ImageOptions], stream: bool
) -> Call:
    """Any task that makes pictures."""
    if stream:
        body = {"stream": True, **body}
    elif "previews" in options:
        raise TypeError("previews belong to streams")
    return image_call(task, body, options, known)


def image_call(
    task: str, body: JsonObject, options: ImageOptions, known: type[ImageOptions]
) -> Call:
    """None is as good as left out. Raises TypeError for an option that is not of `known`."""
    refuse_unknown(options, known)
    own = known.__annotations__.keys() - RoutingOptions.__annotations__.keys()
    chosen: JsonObject = {**options}
    said = {**body, **{name: chosen[name] for name in sorted(own & chosen.keys())}}
    whole: JsonObject = {"model": model_of(options, AUTO), **said}
    return post_call(
        f"/v1/images/{task}",
        {name: value for name, value in whole.items() if value is not None},
        options,
    )


def picture_body(image: ImageInput | None, prompt: str | None = None) -> JsonObject:
    return {"image": None if image is None else image_of(image), "prompt": prompt}


def inpaint_body(image: ImageInput, mask: ImageInput, prompt: str | None) -> JsonObject:
    return {**picture_body(image, prompt), "mask": image_of(mask)}


def pictures_body(images: ImageInput | Iterable[ImageInput], **more: object) -> JsonObject:
    return {"images": images_of(images), **more}


def encode_body(images: ImageInput | Iterable[ImageInput], seed: int | None) -> JsonObject:
    return {**pictures_body(images), "seed": seed, "encoding_format": "base64"}


def decode_body(latents: Iterable[LatentInput], label: str | None) -> JsonObject:
    return {**latents_of(latents), "label": label}


def interpolate_body(
    first: ImageInput | int, second: ImageInput | int, label: str | None, frames: int | None
) -> JsonObject:
    """Two pictures, or two seeds. Raises TypeError for one of each."""
    more: JsonObject = {"label": label, "frames": frames}
    if isinstance(first, int) and isinstance(second, int):
        return {"seeds": [first, second], **more}
    if isinstance(first, int) or isinstance(second, int):
        raise TypeError("give two pictures or two seeds")
    return {"images": [image_of(first), image_of(second)], **more}


def noise_body(image: ImageInput, timesteps: int | Sequence[int], seed: int | None) -> JsonObject:
    steps = [timesteps] if isinstance(timesteps, int) else list(timesteps)
    return {"image": image_of(image), "timesteps": steps, "seed": seed}
