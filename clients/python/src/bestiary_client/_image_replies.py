"""The native wire of images -> what callers get. Pure. Raises UnexpectedReply where it is not ours.

A number that is infinite is null on the wire.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Mapping
from typing import TypedDict, TypeVar

from bestiary_client._errors import UnexpectedReply
from bestiary_client._image_results import (
    Discrimination,
    GeneratedImage,
    ImageResults,
    ImageUsage,
    ImageWork,
    Latent,
    Likelihood,
    NoisedImage,
    Picture,
    Reconstruction,
    Trajectory,
    TrajectoryFrame,
)
from bestiary_client._json import JsonObject, get, get_objects, get_optional
from bestiary_client._numbers import integers, number, packed_floats
from bestiary_client._receipts import receipt_of

T = TypeVar("T")
Headers = Mapping[str, str]


class _File(TypedDict):
    data: bytes
    format: str
    width: int
    height: int


def results(body: JsonObject, headers: Headers, read: Callable[[JsonObject], T]) -> ImageResults[T]:
    """One per picture, by their `index`."""
    return ImageResults(
        model=get(body, "model", str),
        items=tuple(read(row) for row in _rows(body)),
        usage=usage(get(body, "usage", dict)),
        request_id=headers.get("x-request-id"),
        receipt=receipt_of(body, headers),
    )


def trajectory(body: JsonObject, headers: Headers) -> Trajectory:
    return Trajectory(
        model=get(body, "model", str),
        items=tuple(_frame(row) for row in _rows(body)),
        usage=usage(get(body, "usage", dict)),
        request_id=headers.get("x-request-id"),
        receipt=receipt_of(body, headers),
        result=generated(get(body, "image", dict)),
    )


def usage(told: JsonObject) -> ImageUsage:
    return ImageUsage(
        images=get(told, "images", int),
        seconds=number(told, "seconds"),
        steps=get_optional(told, "steps", int),
        evaluations=get_optional(told, "evaluations", int),
        cached_steps=get_optional(told, "cached_steps", int),
    )


def picture(row: JsonObject) -> Picture:
    return Picture(**_file(row))


def generated(row: JsonObject) -> GeneratedImage:
    work = get(row, "work", dict)
    scored = row.get("score") is not None
    return GeneratedImage(
        **_file(row),
        seed=get(row, "seed", int),
        work=ImageWork(
            get(work, "steps", int),
            get(work, "evaluations", int),
            number(work, "seconds"),
            get(work, "cached_steps", int),
        ),
        score=number(row, "score") if scored else None,
        scores=_floats(row, "scores") if scored else (),
    )


def latent(row: JsonObject) -> Latent:
    shape = integers(row, "shape")
    values = packed_floats(get(row, "latent", str), "a latent")
    if len(values) != math.prod(shape):
        raise UnexpectedReply("a latent of the reply has another shape than it says")
    return Latent(shape, values)


def reconstruction(row: JsonObject) -> Reconstruction:
    return Reconstruction(
        **_file(row),
        mse=number(row, "mse"),
        psnr=_perhaps_infinite(row, "psnr"),
        ssim=number(row, "ssim"),
    )


def discrimination(row: JsonObject) -> Discrimination:
    return Discrimination(
        number(row, "score"),
        number(row, "probability"),
        get(row, "is_real", bool),
        get(row, "calibrated", bool),
    )


def likelihood(row: JsonObject) -> Likelihood:
    return Likelihood(
        number(row, "log_likelihood"),
        number(row, "bits_per_dimension"),
        get(row, "dimensions", int),
        _floats(row, "per_row"),
    )


def noised(row: JsonObject) -> NoisedImage:
    return NoisedImage(
        **_file(row),
        timestep=get(row, "timestep", int),
        signal=number(row, "signal"),
        noise=number(row, "noise"),
        snr=_perhaps_infinite(row, "snr"),
    )


def _frame(row: JsonObject) -> TrajectoryFrame:
    denoised = get_optional(row, "denoised", dict)
    return TrajectoryFrame(
        **_file(row),
        step=get(row, "step", int),
        timestep=number(row, "timestep"),
        snr=_perhaps_infinite(row, "snr"),
        denoised=None if denoised is None else picture(denoised),
    )


def _rows(body: JsonObject) -> list[JsonObject]:
    return sorted(get_objects(body, "data"), key=lambda row: get(row, "index", int))


def _file(row: JsonObject) -> _File:
    try:
        data = base64.b64decode(get(row, "b64_json", str), validate=True)
    except (binascii.Error, ValueError) as error:
        raise UnexpectedReply("a picture of the reply is not base64") from error
    return {
        "data": data,
        "format": get(row, "format", str),
        "width": get(row, "width", int),
        "height": get(row, "height", int),
    }


def _floats(row: JsonObject, name: str) -> tuple[float, ...]:
    return tuple(number({name: one}, name) for one in get(row, name, list))


def _perhaps_infinite(row: JsonObject, name: str) -> float:
    return math.inf if row.get(name, 0) is None else number(row, name)
