"""A router without models for images: real names, policy and PNG files, invented pictures."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from PIL import Image

from bestiary.errors import ImageUnreadable, UnsupportedParameter
from bestiary.garden.card import Family, ModelCard, Source
from bestiary.garden.image_facts import ImageFacts
from bestiary.garden.tasks import Task
from bestiary.profile.applications import GatewayArgs, ServedModel
from bestiary.profile.models import Deployment, Gateway, ImageEngine
from bestiary.schemas.image import (
    DecodeRequest,
    DiscriminateRequest,
    DiscriminateResult,
    Discrimination,
    EncodedImage,
    EncodeRequest,
    EncodeResult,
    GeneratedImage,
    ImageChunk,
    ImageFamily,
    ImageFormat,
    ImageWork,
    InterpolateRequest,
    Likelihood,
    LikelihoodRequest,
    LikelihoodResult,
    NoisedImage,
    NoiseRequest,
    NoiseResult,
    Picture,
    PictureRequest,
    PicturesResult,
    Reconstruction,
    ReconstructRequest,
    ReconstructResult,
    Sampler,
    SampleRequest,
    TextToImageRequest,
    TrajectoryFrame,
    TrajectoryRequest,
    TrajectoryResult,
)
from bestiary.schemas.routing import RouteRequest
from bestiary.schemas.text import EngineTimings
from services.router.replica_methods import ReplicaMethod
from services.router.routed_call import CallRecord

from gateway_fakes import FakeDispatcher, gateway_args  # isort: skip

SIDE = 8  # pixels
STEPS = 4
TIMINGS = EngineTimings(1e-5, 3e-5, 5e-5, 1e-4)
LATENT = (2, 2, 2)


def png(red: int = 0, side: int = SIDE, image_format: ImageFormat = ImageFormat.PNG) -> bytes:
    """A file of one colour."""
    held = io.BytesIO()
    Image.new("RGB", (side, side), (red % 256, 0, 0)).save(held, image_format.value)
    return held.getvalue()


def picture(red: int, image_format: ImageFormat = ImageFormat.PNG) -> Picture:
    return Picture(png(red, image_format=image_format), image_format, SIDE, SIDE)


def _card(
    card_id: str, kind: ImageFamily, tasks: tuple[Task, ...], classes: tuple[str, ...] = ()
) -> ModelCard:
    return ModelCard(
        id=card_id,
        family=Family.IMAGE,
        architecture="Invented",
        title=card_id,
        parameters=1000,
        tasks=tasks,
        license="Apache-2.0",
        provenance="invented",
        sources=(Source(url="file:///nowhere"),),
        image=ImageFacts(
            family=kind, width=SIDE, height=SIDE, classes=classes, figures={"psnr": 30.5}
        ),
    )


CARDS = {
    "coder": _card(
        "tiny-vae",
        ImageFamily.VAE,
        (Task.ENCODE_IMAGE, Task.DECODE_IMAGE, Task.RECONSTRUCT, Task.INTERPOLATE),
    ),
    "forger": _card(
        "tiny-gan", ImageFamily.GAN, (Task.GENERATE, Task.DISCRIMINATE), ("Cat", "Dog")
    ),
    "scanner": _card(
        "tiny-pixels", ImageFamily.AUTOREGRESSIVE, (Task.COMPLETE_IMAGE, Task.LIKELIHOOD)
    ),
    "painter": _card(
        "tiny-painter",
        ImageFamily.DIFFUSION,
        (
            Task.TEXT_TO_IMAGE,
            Task.IMAGE_TO_IMAGE,
            Task.INPAINT,
            Task.VARIATION,
            Task.NOISE,
            Task.TRAJECTORY,
        ),
    ),
    "lens": _card("tiny-lens", ImageFamily.DIFFUSION, (Task.SUPER_RESOLUTION,)),
}


def image_args(gateway: Gateway) -> GatewayArgs:
    """What `gateway_args` has, and a deployment for each card."""
    args = gateway_args(gateway)
    more = {name: Deployment(card=one.id, image=ImageEngine()) for name, one in CARDS.items()}
    served = [
        ServedModel(deployment=name, family=Family.IMAGE, card=one) for name, one in CARDS.items()
    ]
    deployments = {**args.profile.deployments, **more}
    return GatewayArgs(
        profile=args.profile.model_copy(update={"deployments": deployments}),
        served=(*args.served, *served),
        absent=args.absent,
    )


def colour_of(image: EncodedImage, param: str) -> int:
    """Its red. Refuses as the replicas do."""
    try:
        with Image.open(io.BytesIO(image.data)) as opened:
            return opened.convert("RGB").getpixel((0, 0))[0]
    except OSError:
        raise ImageUnreadable(f"{param} is no PNG, JPEG or WebP picture", param) from None


def colours(images: tuple[EncodedImage, ...]) -> list[int]:
    return [colour_of(image, f"images[{index}]") for index, image in enumerate(images)]


def encode_image(request: EncodeRequest) -> EncodeResult:
    """Every number of a latent is the picture's red."""
    rows = [np.full(LATENT, red, dtype=np.float32) for red in colours(request.images)]
    return EncodeResult(np.stack(rows), TIMINGS)


def decode_image(request: DecodeRequest) -> PicturesResult:
    reds = request.latents.array().reshape(request.latents.shape[0], -1)[:, 0]
    return PicturesResult(tuple(picture(int(red), request.format) for red in reds), TIMINGS)


def reconstruct(request: ReconstructRequest) -> ReconstructResult:
    """Loses nothing."""
    made = (picture(red, request.format) for red in colours(request.images))
    return ReconstructResult(
        tuple(Reconstruction(one, 0.0, float("inf"), 1.0) for one in made), TIMINGS
    )


def interpolate(request: InterpolateRequest) -> PicturesResult:
    ends = request.seeds or colours(request.images or ())
    reds = np.linspace(ends[0], ends[1], request.frames)
    return PicturesResult(tuple(picture(int(red), request.format) for red in reds), TIMINGS)


def discriminate(request: DiscriminateRequest) -> DiscriminateResult:
    """Red is real."""
    sure = [red / 255 for red in colours(request.images)]
    return DiscriminateResult(tuple(Discrimination(one - 0.5, one, True) for one in sure), TIMINGS)


def likelihood(request: LikelihoodRequest) -> LikelihoodResult:
    found = [Likelihood(-float(red), red / 10, 192, (0.5, 1.5)) for red in colours(request.images)]
    return LikelihoodResult(tuple(found), TIMINGS)


def noise(request: NoiseRequest) -> NoiseResult:
    red = colour_of(request.image, "image")
    seed = 7 if request.seed is None else request.seed
    levels = [
        NoisedImage(step, picture(red + step, request.format), 1.0, float(step > 0), 1.0 / step)
        if step
        else NoisedImage(0, picture(red, request.format), 1.0, 0.0, float("inf"))
        for step in request.timesteps
    ]
    return NoiseResult(tuple(levels), seed, TIMINGS)


def trajectory(request: TrajectoryRequest) -> TrajectoryResult:
    frames = tuple(
        TrajectoryFrame(
            step,
            float(10 - step),
            1.0,
            picture(step, request.format),
            picture(step + 1, request.format) if step else None,
        )
        for step in range(request.frames)
    )
    end = GeneratedImage(picture(99, request.format), request.seed or 7, ImageWork(4, 8, 0.5))
    return TrajectoryResult(frames, end, TIMINGS)


ANSWERS: Mapping[str, Callable[[Any], object]] = {
    function.__name__: function
    for function in (
        encode_image,
        decode_image,
        reconstruct,
        interpolate,
        discriminate,
        likelihood,
        noise,
        trajectory,
    )
}


def chunks_of(request: PictureRequest) -> Iterator[ImageChunk]:
    """Pictures side by side; picture i has the colour of its seed, or of what was given."""
    first = 7 if request.seed is None else request.seed
    steps = STEPS
    denoising = getattr(request, "denoising", None)
    if denoising is not None and denoising.steps is not None:
        steps = denoising.steps
    if denoising is not None and denoising.sampler is Sampler.LMS:
        raise UnsupportedParameter("denoising does nothing in tiny", "denoising")
    if denoising is not None and denoising.steps == 250:
        raise UnsupportedParameter("the denoising.steps are too many", "denoising.steps")
    if isinstance(request, SampleRequest | TextToImageRequest) and request.width not in (
        None,
        SIDE,
    ):
        raise UnsupportedParameter(f"tiny makes {SIDE}x{SIDE} only", "width")
    for name in ("image", "mask"):
        if (given := getattr(request, name, None)) is not None:
            colour_of(given, name)
    shown = {round(steps * (n + 1) / (request.previews + 1)) for n in range(request.previews)}
    for step in range(1, steps + 1):
        for index in range(request.images):
            red = first + index
            if step < steps:
                preview = picture(red + 1, request.format) if step in shown else None
                yield ImageChunk(index, step, steps, preview)
                continue
            scored = request.best_of > 1
            image = GeneratedImage(
                picture(red, request.format),
                red,
                ImageWork(steps, 2 * steps * request.best_of, 0.25, cached=1),
                0.5 if scored else None,
                tuple(n / 10 for n in range(request.best_of)) if scored else (),
            )
            last = index == request.images - 1
            yield ImageChunk(index, step, steps, None, image, TIMINGS if last else None)


class FakeDrawing:
    """One piece of news a step for each picture, then the end."""

    def __init__(self, router: ImageDispatcher, request: PictureRequest, record: CallRecord):
        self.record = record
        self.closed = 0
        self._router = router
        self._chunks = chunks_of(request)
        self._next: ImageChunk | None = next(self._chunks)  # what is refused is refused at once
        self._taken = 0

    async def __anext__(self) -> ImageChunk:
        router = self._router
        if router.fail_at is not None and self._taken == router.fail_at:
            assert router.failure is not None
            raise router.failure
        if self._taken >= router.stall_after:
            await asyncio.Event().wait()
        if router.step_s:
            await asyncio.sleep(router.step_s)
        if self._next is None:
            raise StopAsyncIteration
        chunk, self._next = self._next, next(self._chunks, None)
        self._taken += 1
        self.record.call_s = self.record.first_chunk_s = 2e-4
        return chunk

    async def aclose(self) -> None:
        self.closed += 1


class ImageDispatcher(FakeDispatcher):
    """Also answers what is asked of images; `asked` are the replica methods that were called."""

    def __init__(self, args: GatewayArgs) -> None:
        super().__init__(args)
        self.asked: list[str] = []
        self.drawings: list[FakeDrawing] = []
        self.left = 0  # whole answers that nobody waited for

    async def ask(
        self, route: RouteRequest, method: ReplicaMethod[Any, Any], request: Any
    ) -> tuple[Any, CallRecord]:
        decision = self._take(route, request)
        self.asked.append(method.name)
        if self.stall_after == 0:
            try:
                await asyncio.Event().wait()
            finally:
                self.left += 1
        record = CallRecord(decision, routing_s=1e-5, call_s=2e-4)
        return ANSWERS[method.name](request), record

    async def generate_images(self, route: RouteRequest, request: PictureRequest) -> FakeDrawing:
        decision = self._take(route, request)
        self.asked.append("generate_images")
        call = FakeDrawing(self, request, CallRecord(decision, routing_s=1e-5))
        self.drawings.append(call)
        if self.stall_after == 0:
            try:
                await asyncio.Event().wait()
            finally:
                await call.aclose()
        return call
