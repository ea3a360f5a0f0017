"""The native tasks of images, as two tables: those that make pictures, and those that answer once.

A new task is an entry here, a wire model and, where it answers once, a writer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from bestiary.garden.tasks import Task
from bestiary.schemas.image import (
    CompletionRequest,
    DecodeRequest,
    DiscriminateRequest,
    DiscriminateResult,
    EncodeRequest,
    EncodeResult,
    ImageRequest,
    ImageToImageRequest,
    InpaintRequest,
    InterpolateRequest,
    LikelihoodRequest,
    LikelihoodResult,
    NoiseRequest,
    NoiseResult,
    PictureRequest,
    PicturesResult,
    ReconstructRequest,
    ReconstructResult,
    SampleRequest,
    SuperResolutionRequest,
    TextToImageRequest,
    TrajectoryRequest,
    TrajectoryResult,
    VariationRequest,
)
from services.gateway.dialects import native_image_reply as reply
from services.gateway.dialects import native_image_wire as wire
from services.gateway.dialects.image_fields import ImageBody
from services.gateway.dialects.image_showing import Show
from services.router import replica_methods
from services.router.replica_methods import ReplicaMethod

B = TypeVar("B", bound=ImageBody)
Q = TypeVar("Q", bound=ImageRequest)
R = TypeVar("R", bound=reply.Timed)


@dataclass(frozen=True)
class DrawTask:
    """One route that makes pictures, whole or streamed."""

    task: Task
    path: str  # under /v1/images
    description: str
    body: type[wire.Generate]
    request: type[PictureRequest]


@dataclass(frozen=True)
class AskTask(Generic[B, Q, R]):
    """One route that answers once."""

    task: Task
    path: str  # under /v1/images
    description: str
    body: type[B]
    method: ReplicaMethod[Q, R]
    images: Callable[[R], int]  # that were made
    answer: Callable[[R, B, Show], reply.Json]


DRAW_TASKS: tuple[DrawTask, ...] = (
    DrawTask(
        Task.GENERATE,
        "/sample",
        "Pictures of nothing in particular, or of one class.",
        wire.Sample,
        SampleRequest,
    ),
    DrawTask(
        Task.TEXT_TO_IMAGE,
        "/text-to-image",
        "Pictures of what a prompt says.",
        wire.TextToImage,
        TextToImageRequest,
    ),
    DrawTask(
        Task.IMAGE_TO_IMAGE,
        "/image-to-image",
        "A picture made anew towards a prompt, as far as `strength` says.",
        wire.ImageToImage,
        ImageToImageRequest,
    ),
    DrawTask(
        Task.INPAINT,
        "/inpaint",
        "The masked part of a picture made anew; the rest stays as it is.",
        wire.Inpaint,
        InpaintRequest,
    ),
    DrawTask(
        Task.SUPER_RESOLUTION,
        "/super-resolve",
        "A picture made larger by the model's scale.",
        wire.SuperResolve,
        SuperResolutionRequest,
    ),
    DrawTask(
        Task.VARIATION,
        "/vary",
        "Pictures like a given one.",
        wire.Vary,
        VariationRequest,
    ),
    DrawTask(
        Task.COMPLETE_IMAGE,
        "/complete",
        "The first rows of a picture, and how the model goes on from there.",
        wire.Complete,
        CompletionRequest,
    ),
)

ENCODE: AskTask[wire.Encode, EncodeRequest, EncodeResult] = AskTask(
    Task.ENCODE_IMAGE,
    "/encode",
    "Latents (or codes) of pictures.",
    wire.Encode,
    replica_methods.ENCODE_IMAGE,
    lambda _: 0,
    reply.encode_json,
)
DECODE: AskTask[wire.Decode, DecodeRequest, PicturesResult] = AskTask(
    Task.DECODE_IMAGE,
    "/decode",
    "Pictures of latents.",
    wire.Decode,
    replica_methods.DECODE_IMAGE,
    lambda result: len(result.pictures),
    reply.pictures_json,
)
RECONSTRUCT: AskTask[wire.Reconstruct, ReconstructRequest, ReconstructResult] = AskTask(
    Task.RECONSTRUCT,
    "/reconstruct",
    "Pictures through the latent and back, with what was lost.",
    wire.Reconstruct,
    replica_methods.RECONSTRUCT,
    lambda result: len(result.images),
    reply.reconstruct_json,
)
INTERPOLATE: AskTask[wire.Interpolate, InterpolateRequest, PicturesResult] = AskTask(
    Task.INTERPOLATE,
    "/interpolate",
    "From one picture (or seed) to another through the latents.",
    wire.Interpolate,
    replica_methods.INTERPOLATE,
    lambda result: len(result.pictures),
    reply.pictures_json,
)
DISCRIMINATE: AskTask[wire.Discriminate, DiscriminateRequest, DiscriminateResult] = AskTask(
    Task.DISCRIMINATE,
    "/discriminate",
    "Whether pictures are real or made, as a GAN's discriminator sees it.",
    wire.Discriminate,
    replica_methods.DISCRIMINATE,
    lambda _: 0,
    reply.discriminate_json,
)
LIKELIHOOD: AskTask[wire.Likelihood, LikelihoodRequest, LikelihoodResult] = AskTask(
    Task.LIKELIHOOD,
    "/likelihood",
    "How likely the model finds pictures, in bits per dimension.",
    wire.Likelihood,
    replica_methods.LIKELIHOOD,
    lambda _: 0,
    reply.likelihood_json,
)
NOISE: AskTask[wire.Noise, NoiseRequest, NoiseResult] = AskTask(
    Task.NOISE,
    "/noise",
    "The forward process: a picture after so many noising steps.",
    wire.Noise,
    replica_methods.NOISE,
    lambda result: len(result.images),
    reply.noise_json,
)
TRAJECTORY: AskTask[wire.Trajectory, TrajectoryRequest, TrajectoryResult] = AskTask(
    Task.TRAJECTORY,
    "/trajectory",
    "The reverse process, watched: from noise to a picture.",
    wire.Trajectory,
    replica_methods.TRAJECTORY,
    lambda result: len(result.frames),
    reply.trajectory_json,
)
ASK_TASKS: tuple[AskTask[Any, Any, Any], ...] = (
    ENCODE,
    DECODE,
    RECONSTRUCT,
    INTERPOLATE,
    DISCRIMINATE,
    LIKELIHOOD,
    NOISE,
    TRAJECTORY,
)
