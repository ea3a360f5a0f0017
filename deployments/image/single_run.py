"""What rooms have in common whose pictures are one run of a decoder or a generator.

Streams pictures as they are made, keeps the best of candidates where there is a scorer, and
counts. What a request means is the room's own.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, replace

import numpy as np

from bestiary.errors import EngineFailure, InvalidRequest, UnsupportedParameter
from bestiary.garden import InstalledModel
from bestiary.garden.tasks import Task
from bestiary.schemas.image import (
    GeneratedImage,
    GenerationRequest,
    ImageChunk,
    ImageCounts,
    ImageFormat,
    ImageRequest,
    ImageWork,
    Latents,
    Picture,
    PictureRequest,
)
from bestiary.schemas.replica import ReplicaLoad
from deployments.image.call import Call
from deployments.image.decoding import Pixels
from deployments.image.limits import ImageLimits
from deployments.image.pixels import Floats, to_pixels
from deployments.image.provenance import Provenance
from deployments.image.refusals import facts_of, refuse_fields
from deployments.image.row_batcher import Answer, Row, RowBatcher, RowLimits
from deployments.image.seeds import seeds_of
from deployments.image.service import TASK_OF_REQUEST, ImageService
from deployments.image.writing import write_picture
from deployments.kernels.image_session import Networks


@dataclass(frozen=True, slots=True)
class Plan:
    """The rows that make a request's pictures, candidate by candidate."""

    part: str
    rows: Sequence[Row]
    seeds: tuple[tuple[int, ...], ...]  # of each picture's candidates


class SingleRunService(ImageService):
    """A room overrides `planned`, and `scores` where something judges its candidates."""

    def __init__(
        self,
        model: InstalledModel,
        networks: Networks,
        limits: ImageLimits,
        rows: RowLimits,
    ) -> None:
        super().__init__(model.card)
        self.facts = facts_of(model.card)
        self.networks = networks
        self.limits = limits
        self._revision = model.revision
        self._opening = ThreadPoolExecutor(1, thread_name_prefix="pictures")
        self._running = ThreadPoolExecutor(1, thread_name_prefix="networks")
        self._batcher = RowBatcher(networks, rows, self._running)
        self._images = self._cancelled = 0

    def start(self) -> None:
        self._batcher.start()

    async def stop(self) -> None:
        await self._batcher.stop()
        self._opening.shutdown(wait=False, cancel_futures=True)
        self._running.shutdown(wait=False, cancel_futures=True)

    def load(self) -> ReplicaLoad:
        return self._batcher.load()

    def counts(self) -> ImageCounts:
        counted = self._batcher.counts
        return ImageCounts(
            images=self._images,
            runs=counted.runs,
            evaluations=counted.rows,
            cancelled=self._cancelled,
        )

    def check(self) -> None:
        if not self._batcher.is_alive:
            raise EngineFailure("the batcher has stopped")

    @abstractmethod
    async def planned(self, call: Call, request: PictureRequest) -> Plan:
        """Raises InvalidRequest and its kin for what the model cannot do."""

    async def scores(self, call: Call, rows: Sequence[Row], made: Sequence[Pixels]) -> list[float]:
        """Of pictures made from `rows`; the higher the better. Asked for where there are several
        candidates; without a scorer the request is refused."""
        raise UnsupportedParameter(f"{self.card.id} has no scorer to choose by", "best_of")

    async def generate_images(self, request: PictureRequest) -> AsyncGenerator[ImageChunk, None]:
        task = TASK_OF_REQUEST[type(request)]
        self.require(task)
        # A picture is there at once or not at all.
        refuse_fields(self.card, request, "previews")
        self.limits.check_candidates(request.images, request.best_of)
        left = request.images
        with self.call(request) as call:
            plan = await self.planned(call, request)
            try:
                async with aclosing(self.pictures(call, request, plan, task)) as chunks:
                    async for chunk in chunks:
                        if chunk.image is not None:
                            left -= 1
                            self._images += 1
                        yield chunk if left else replace(chunk, timings=call.timings())
            finally:
                self._cancelled += left

    @contextmanager
    def call(self, request: ImageRequest) -> Iterator[Call]:
        """Raises Overloaded."""
        with self._batcher.admitted() as guest:
            yield Call(request, guest, self._batcher, self._opening)

    async def written(
        self, call: Call, made: Sequence[Pixels], format: ImageFormat, task: Task
    ) -> tuple[Picture, ...]:
        said = self.provenance(task)
        return await call.off_loop(
            lambda: tuple(write_picture(pixels, format, said) for pixels in made)
        )

    def latents_given(self, latents: Latents) -> Floats:
        """[n, ...]. Raises InvalidRequest for another shape than the model's, or no numbers."""
        own = self.facts.latent_shape
        if latents.shape[1:] != own:
            raise InvalidRequest(
                f"latents are {list(latents.shape)}; {self.card.id} decodes {['n', *own]}",
                "latents",
            )
        self.limits.check_candidates(latents.shape[0], 1)
        found = latents.array()
        if not np.isfinite(found).all():
            raise InvalidRequest("latents are not all finite", "latents")
        return found

    async def pictures(
        self, call: Call, request: GenerationRequest, plan: Plan, task: Task
    ) -> AsyncGenerator[ImageChunk, None]:
        """As they are done, one chunk each here; a room whose pictures take several rows has its
        own."""
        candidates: dict[int, dict[int, Answer]] = {}
        async with aclosing(call.stream(plan.part, plan.rows)) as answers:
            async for answer in answers:
                index, candidate = divmod(answer.index, request.best_of)
                found = candidates.setdefault(index, {})
                found[candidate] = answer
                if len(found) == request.best_of:
                    ordered = [candidates[index][place] for place in range(request.best_of)]
                    del candidates[index]
                    image = await self._image(call, request, plan, ordered, task)
                    yield ImageChunk(index, step=1, steps=1, image=image)

    async def _image(
        self,
        call: Call,
        request: GenerationRequest,
        plan: Plan,
        candidates: Sequence[Answer],
        task: Task,
    ) -> GeneratedImage:
        made = await call.off_loop(lambda: [to_pixels(one.outputs[0]) for one in candidates])
        rows = [plan.rows[one.index] for one in candidates]
        scores = await self.scores(call, rows, made) if len(made) > 1 else []
        best = max(range(len(made)), key=lambda place: (scores[place] if scores else 0, -place))
        seed = plan.seeds[candidates[0].index // request.best_of][best]
        said = replace(self.provenance(task), seed=seed)
        picture = await call.off_loop(lambda: write_picture(made[best], request.format, said))
        seconds = sum(one.seconds for one in candidates)
        return GeneratedImage(
            picture,
            seed,
            ImageWork(steps=1, evaluations=len(candidates), seconds=seconds),
            score=scores[best] if scores else None,
            scores=tuple(scores),
        )

    def provenance(self, task: Task) -> Provenance:
        return Provenance(model=self.card.id, revision=self._revision, task=task)


def plan_of(request: GenerationRequest, part: str, row_of: Callable[[int], Row]) -> Plan:
    """`row_of` makes the row of a seed."""
    seeds = seeds_of(request)
    return Plan(part, [row_of(seed) for own in seeds for seed in own], seeds)
