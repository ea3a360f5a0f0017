"""A feed-forward upscaler without Ray: one picture in, a larger one out, nothing drawn.

A picture goes through in pieces, which run together with those of others; a chunk tells of each.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace

from bestiary.errors import UnsupportedParameter
from bestiary.garden import InstalledModel
from bestiary.garden.tasks import Task
from bestiary.schemas.image import (
    EncodedImage,
    GeneratedImage,
    GenerationRequest,
    ImageChunk,
    ImageWork,
    PictureRequest,
    SuperResolutionRequest,
)
from deployments.image.call import Call
from deployments.image.decoding import Pixels, decode_picture
from deployments.image.fitting import on_white
from deployments.image.gan.tiles import Tiles
from deployments.image.limits import ImageLimits
from deployments.image.pixels import Floats, to_floats, to_pixels
from deployments.image.refusals import refuse_best_of, refuse_fields
from deployments.image.row_batcher import RowLimits
from deployments.image.seeds import seeds_of
from deployments.image.single_run import Plan, SingleRunService
from deployments.image.writing import write_picture
from deployments.kernels import image_names as names
from deployments.kernels.image_session import Networks


@dataclass(frozen=True, slots=True)
class TiledPlan(Plan):
    tiles: Tiles


class UpscalerService(SingleRunService):
    """See `ImageService`. The same picture gives the same, whatever the seed."""

    def __init__(
        self, model: InstalledModel, networks: Networks, limits: ImageLimits, rows: RowLimits
    ) -> None:
        super().__init__(model, networks, limits, rows)
        facts = networks.facts(names.UPSCALER)
        self._factor, self._margin = int(facts["factor"]), int(facts["margin"])

    async def planned(self, call: Call, request: PictureRequest) -> TiledPlan:
        assert isinstance(request, SuperResolutionRequest)  # an upscaler's only task
        refuse_best_of(self.card, request)
        refuse_fields(self.card, request, "denoising", "prompt")
        if request.images > 1:
            raise UnsupportedParameter(f"{self.card.id} makes the same of it each time", "n")
        low = await call.off_loop(lambda: to_floats(self._opened(request.image)))
        tiles = Tiles(low, self._margin)
        rows = [{names.LOW: piece} for piece in tiles.pieces()]
        return TiledPlan(names.UPSCALER, rows, seeds_of(request), tiles)

    async def pictures(
        self, call: Call, request: GenerationRequest, plan: Plan, task: Task
    ) -> AsyncGenerator[ImageChunk, None]:
        assert isinstance(plan, TiledPlan)  # `planned` made it
        made: dict[int, Floats] = {}
        seconds, steps = 0.0, len(plan.rows)
        async with aclosing(call.stream(plan.part, plan.rows)) as answers:
            async for answer in answers:
                made[answer.index] = answer.outputs[0]
                seconds += answer.seconds
                chunk = ImageChunk(0, step=len(made), steps=steps)
                if len(made) < steps:
                    yield chunk
        said, tiles = self.provenance(task), plan.tiles
        picture = await call.off_loop(
            lambda: write_picture(
                to_pixels(tiles.joined([made[i] for i in range(steps)], self._factor)),
                request.format,
                said,
            )
        )
        work = ImageWork(steps=1, evaluations=steps, seconds=seconds)
        yield replace(chunk, image=GeneratedImage(picture, plan.seeds[0][0], work))

    def _opened(self, image: EncodedImage) -> Pixels:
        """Raises ImageTooLarge where what would come out is."""
        pixels = on_white(decode_picture(image, self.limits, "image"))
        height, width = pixels.shape[:2]
        self.limits.check_size(width * self._factor, height * self._factor, "image")
        return pixels
