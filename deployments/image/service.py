"""What one image replica can be asked, without Ray. A room overrides what its models can do.

Every method raises UnsupportedParameter where the model cannot do it; else InvalidRequest,
ImageUnreadable, ImageTooLarge, Overloaded, DeadlineExceeded and EngineFailure.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator

from bestiary.errors import UnsupportedParameter
from bestiary.garden.card import ModelCard
from bestiary.garden.tasks import Task, tasks_of
from bestiary.schemas.image import (
    CompletionRequest,
    DecodeRequest,
    DiscriminateRequest,
    DiscriminateResult,
    EncodeRequest,
    EncodeResult,
    GenerationRequest,
    ImageChunk,
    ImageCounts,
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
from bestiary.schemas.replica import ReplicaLoad

TASK_OF_REQUEST: dict[type[GenerationRequest], Task] = {
    SampleRequest: Task.GENERATE,
    TextToImageRequest: Task.TEXT_TO_IMAGE,
    ImageToImageRequest: Task.IMAGE_TO_IMAGE,
    InpaintRequest: Task.INPAINT,
    SuperResolutionRequest: Task.SUPER_RESOLUTION,
    VariationRequest: Task.VARIATION,
    CompletionRequest: Task.COMPLETE_IMAGE,
}


class ImageService(ABC):
    """`start` on the running loop, once; `stop` at the end."""

    def __init__(self, card: ModelCard) -> None:
        self.card = card

    @abstractmethod
    def start(self) -> None:
        """Starting twice is starting once."""

    @abstractmethod
    async def stop(self) -> None:
        """Fails what is under way."""

    @abstractmethod
    def load(self) -> ReplicaLoad: ...

    @abstractmethod
    def counts(self) -> ImageCounts: ...

    @abstractmethod
    def check(self) -> None:
        """Raises EngineFailure where no request would ever be answered again."""

    async def generate_images(self, request: PictureRequest) -> AsyncGenerator[ImageChunk, None]:
        """Closing the generator early stops the work within one step."""
        raise self.cannot(TASK_OF_REQUEST[type(request)])
        yield  # a generator, like those that override it

    async def encode_image(self, request: EncodeRequest) -> EncodeResult:
        raise self.cannot(Task.ENCODE_IMAGE)

    async def decode_image(self, request: DecodeRequest) -> PicturesResult:
        raise self.cannot(Task.DECODE_IMAGE)

    async def reconstruct(self, request: ReconstructRequest) -> ReconstructResult:
        raise self.cannot(Task.RECONSTRUCT)

    async def interpolate(self, request: InterpolateRequest) -> PicturesResult:
        raise self.cannot(Task.INTERPOLATE)

    async def discriminate(self, request: DiscriminateRequest) -> DiscriminateResult:
        raise self.cannot(Task.DISCRIMINATE)

    async def likelihood(self, request: LikelihoodRequest) -> LikelihoodResult:
        raise self.cannot(Task.LIKELIHOOD)

    async def noise(self, request: NoiseRequest) -> NoiseResult:
        raise self.cannot(Task.NOISE)

    async def trajectory(self, request: TrajectoryRequest) -> TrajectoryResult:
        raise self.cannot(Task.TRAJECTORY)

    def require(self, task: Task) -> None:
        """Raises UnsupportedParameter for a task that is not the card's."""
        if task not in tasks_of(self.card):
            raise self.cannot(task)

    def cannot(self, task: Task) -> UnsupportedParameter:
        can = ", ".join(tasks_of(self.card)) or "nothing that is known"
        return UnsupportedParameter(f"{self.card.id} cannot do {task}; it can do {can}", "model")
