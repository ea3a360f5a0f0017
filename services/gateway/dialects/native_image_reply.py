"""The native wire of images: what callers get. Numbers that are infinite are null in JSON."""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from bestiary.garden.tasks import Task
from bestiary.schemas.image import (
    DiscriminateResult,
    EncodeResult,
    GeneratedImage,
    ImageChunk,
    ImageWork,
    LikelihoodResult,
    NoiseResult,
    Picture,
    PicturesResult,
    ReconstructResult,
    TrajectoryResult,
)
from bestiary.schemas.text import EngineTimings
from services.gateway.dialects import native_image_wire as wire
from services.gateway.dialects.image_showing import Show, inline
from services.gateway.dialects.task_events import TaskEvents
from services.gateway.drawing import Drawing

Json = dict[str, object]
SURE = 0.5  # from here on a picture is said to be real


class Timed(Protocol):
    """Any result that is whole at once."""

    @property
    def timings(self) -> EngineTimings: ...


def document(request_id: str, model: str, answer: Json, usage: Json) -> Json:
    return {
        "id": request_id,
        "object": "list",
        "created": int(time.time()),
        "model": model,
        **answer,
        "usage": usage,
    }


def drawing_usage(images: Sequence[GeneratedImage]) -> Json:
    """`evaluations` are rows of the network, `seconds` those of its runs, shared out by rows."""
    return {
        "images": len(images),
        "steps": sum(image.work.steps for image in images),
        "evaluations": sum(image.work.evaluations for image in images),
        "cached_steps": sum(image.work.cached for image in images),
        "seconds": sum(image.work.seconds for image in images),
    }


def asking_usage(images: int, result: Timed) -> Json:
    """`images` are those that were made, or else those that were read."""
    return {"images": images, "seconds": result.timings.prefill_s + result.timings.decode_s}


def picture_json(picture: Picture, show: Show) -> Json:
    return {
        **show(picture),
        "format": picture.format.value,
        "width": picture.width,
        "height": picture.height,
    }


def generated_json(image: GeneratedImage, show: Show) -> Json:
    """Scores are there where the model has a scorer."""
    scored: Json = {} if image.score is None else {"score": image.score, "scores": image.scores}
    return {
        **picture_json(image.picture, show),
        "seed": image.seed,
        **scored,
        "work": _work_json(image.work),
    }


def _work_json(work: ImageWork) -> Json:
    return {
        "steps": work.steps,
        "evaluations": work.evaluations,
        "cached_steps": work.cached,
        "seconds": work.seconds,
    }


def drawn_json(images: Sequence[GeneratedImage], show: Show) -> Json:
    return _entries([generated_json(image, show) for image in images])


def _entries(entries: Sequence[Json]) -> Json:
    return {"data": [{"index": index, **entry} for index, entry in enumerate(entries)]}


def encode_json(result: EncodeResult, body: wire.Encode, _: Show) -> Json:
    latents = np.ascontiguousarray(result.latents, dtype="<f4")
    packed = body.encoding_format == "base64"
    return _entries(
        [
            {
                "shape": latent.shape,
                "latent": base64.b64encode(latent.tobytes()).decode() if packed else latent,
            }
            for latent in latents
        ]
    )


def pictures_json(result: PicturesResult, _: wire.Pictured, show: Show) -> Json:
    return _entries([picture_json(picture, show) for picture in result.pictures])


def reconstruct_json(result: ReconstructResult, _: wire.Reconstruct, show: Show) -> Json:
    return _entries(
        [
            {
                **picture_json(one.picture, show),
                "mse": one.mse,
                "psnr": one.psnr,
                "ssim": one.ssim,
            }
            for one in result.images
        ]
    )


def discriminate_json(result: DiscriminateResult, _: wire.Discriminate, __: Show) -> Json:
    return _entries(
        [
            {
                "score": one.score,
                "probability": one.probability,
                "is_real": one.probability >= SURE,
                "calibrated": one.calibrated,
            }
            for one in result.images
        ]
    )


def likelihood_json(result: LikelihoodResult, _: wire.Likelihood, __: Show) -> Json:
    return _entries(
        [
            {
                "log_likelihood": one.log_likelihood,
                "bits_per_dimension": one.bits_per_dimension,
                "dimensions": one.dimensions,
                "per_row": one.per_row,
            }
            for one in result.images
        ]
    )


def noise_json(result: NoiseResult, _: wire.Noise, show: Show) -> Json:
    entries = _entries(
        [
            {
                "timestep": one.timestep,
                **picture_json(one.picture, show),
                "signal": one.signal,
                "noise": one.noise,
                "snr": one.snr,
            }
            for one in result.images
        ]
    )
    return {**entries, "seed": result.seed}


def trajectory_json(result: TrajectoryResult, _: wire.Trajectory, show: Show) -> Json:
    """`data` are the frames, `image` what they end in."""
    entries = _entries(
        [
            {
                "step": frame.step,
                "timestep": frame.timestep,
                "snr": frame.snr,
                **picture_json(frame.picture, show),
                "denoised": None if frame.denoised is None else picture_json(frame.denoised, show),
            }
            for frame in result.frames
        ]
    )
    return {**entries, "image": generated_json(result.image, show)}


class DrawingEvents(TaskEvents[ImageChunk]):
    def __init__(
        self, request_id: str, task: Task, drawing: Drawing, *, include_receipt: bool
    ) -> None:
        model = drawing.decision.model
        super().__init__(request_id, task, model, include_receipt=include_receipt)
        self._drawing = drawing

    def _said(self, index: int, piece: ImageChunk) -> Json:
        said: Json = {"index": index, "step": piece.step, "steps": piece.steps}
        if piece.preview is not None:
            said["preview"] = picture_json(piece.preview, inline)
        if piece.image is not None:
            said["image"] = generated_json(piece.image, inline)
        return said

    def _usage(self) -> Json:
        return drawing_usage(self._drawing.images)
