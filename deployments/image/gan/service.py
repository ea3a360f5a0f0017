"""One GAN without Ray: samples, latent arithmetic, interpolation, and the discriminator's view.

Best-of-n is judged by the discriminator, where there is one: scores are its logits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bestiary.errors import InvalidRequest
from bestiary.garden import InstalledModel
from bestiary.garden.tasks import Task
from bestiary.schemas.image import (
    DecodeRequest,
    DiscriminateRequest,
    DiscriminateResult,
    InterpolateRequest,
    PictureRequest,
    PicturesResult,
    SampleRequest,
)
from deployments.image.call import Call, pictures_given
from deployments.image.decoding import Pixels
from deployments.image.gan.judging import Judge
from deployments.image.gan.latents import along_the_sphere, class_of_seed, latent_of, summed
from deployments.image.limits import ImageLimits
from deployments.image.pixels import Floats, to_pixels
from deployments.image.refusals import (
    class_of,
    refuse_best_of,
    refuse_fields,
    refuse_other_size,
)
from deployments.image.row_batcher import Row, RowLimits
from deployments.image.single_run import Plan, SingleRunService, plan_of
from deployments.kernels import image_names as names
from deployments.kernels.image_session import Networks


class GanService(SingleRunService):
    """See `ImageService`."""

    def __init__(
        self, model: InstalledModel, networks: Networks, limits: ImageLimits, rows: RowLimits
    ) -> None:
        super().__init__(model, networks, limits, rows)
        facts = networks.facts(names.GENERATOR)
        self._width, self._classes = int(facts["latent"]), int(facts["classes"])
        self._judge = (
            Judge(networks.facts(names.DISCRIMINATOR))
            if networks.has(names.DISCRIMINATOR)
            else None
        )

    async def planned(self, call: Call, request: PictureRequest) -> Plan:
        assert isinstance(request, SampleRequest)  # a GAN's only task that makes pictures
        refuse_fields(self.card, request, "denoising", "temperature", "top_k")
        refuse_other_size(self.card, request.width, request.height)
        if self._judge is None:
            refuse_best_of(self.card, request)
        label, terms = class_of(self.card, request.label), request.latent_terms
        if terms and request.images * request.best_of > 1:
            raise InvalidRequest("latent_terms say one latent: ask for one image", "latent_terms")

        def row_of(seed: int) -> Row:
            latent = (
                summed(terms, self._width, request.truncation)
                if terms
                else latent_of(seed, self._width, request.truncation)
            )
            return self._row(latent, label, seed)

        return plan_of(request, names.GENERATOR, row_of)

    async def scores(self, call: Call, rows: Sequence[Row], made: Sequence[Pixels]) -> list[float]:
        assert self._judge is not None  # `planned` has refused candidates
        judged: list[Row] = []
        for row, pixels in zip(rows, made, strict=True):
            judged += self._judge.rows(pixels, int(row.get(names.LABEL, np.int64(0))))
        return [float(one.outputs[0]) for one in await call.run(names.DISCRIMINATOR, judged)]

    async def decode_image(self, request: DecodeRequest) -> PicturesResult:
        self.require(Task.DECODE_IMAGE)
        label = class_of(self.card, request.label)
        if self._classes and label is None:
            known = ", ".join(self.facts.classes)
            raise InvalidRequest(f"give a label to decode as: {known}", "label")
        with self.call(request) as call:
            rows = [self._row(one, label, 0) for one in self.latents_given(request.latents)]
            made = await self._made(call, rows)
            pictures = await self.written(call, made, request.format, Task.DECODE_IMAGE)
            return PicturesResult(pictures, call.timings())

    async def interpolate(self, request: InterpolateRequest) -> PicturesResult:
        """Along the sphere; without a label, all frames are of the first seed's class."""
        self.require(Task.INTERPOLATE)
        if request.seeds is None:
            raise InvalidRequest(f"{self.card.id} goes from seed to seed: give seeds", "images")
        label = class_of(self.card, request.label)
        first, last = (latent_of(seed, self._width) for seed in request.seeds)
        rows = [
            self._row(along_the_sphere(first, last, share), label, request.seeds[0])
            for share in np.linspace(0, 1, request.frames)
        ]
        with self.call(request) as call:
            made = await self._made(call, rows)
            pictures = await self.written(call, made, request.format, Task.INTERPOLATE)
            return PicturesResult(pictures, call.timings())

    async def discriminate(self, request: DiscriminateRequest) -> DiscriminateResult:
        """A picture without a label is judged as one of each class; the best one counts."""
        self.require(Task.DISCRIMINATE)
        judge = self._judge
        if judge is None:
            raise self.cannot(Task.DISCRIMINATE)
        self.limits.check_candidates(len(request.images), 1)
        label = class_of(self.card, request.label)
        with self.call(request) as call:
            given = await call.off_loop(
                lambda: pictures_given(request.images, self.facts, self.limits, "images")
            )
            rows = [row for pixels in given for row in judge.rows(pixels, label)]
            logits = [float(one.outputs[0]) for one in await call.run(names.DISCRIMINATOR, rows)]
            each = judge.rows_each(label)
            said = tuple(
                judge.said(logits[start : start + each]) for start in range(0, len(logits), each)
            )
            return DiscriminateResult(said, call.timings())

    def _row(self, latent: Floats, label: int | None, seed: int) -> Row:
        """Where nobody named a class of those that there are, it is the seed's."""
        if not self._classes:
            return {names.LATENT: latent}
        if label is None:
            label = class_of_seed(seed, self._width, self._classes)
        return {names.LATENT: latent, names.LABEL: np.array(label, np.int64)}

    async def _made(self, call: Call, rows: Sequence[Row]) -> list[Pixels]:
        answers = await call.run(names.GENERATOR, rows)
        return await call.off_loop(lambda: [to_pixels(one.outputs[0]) for one in answers])
