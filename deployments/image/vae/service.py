"""One VAE without Ray: encode, decode, reconstruct, sample, vary, interpolate.

Latents that go in and out are scaled, (z - shift) * scaling factor, as diffusers' pipelines have
them; inside they are the decoder's own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bestiary.errors import InvalidRequest
from bestiary.garden import InstalledModel
from bestiary.garden.tasks import Task
from bestiary.schemas.image import (
    DecodeRequest,
    EncodedImage,
    EncodeRequest,
    EncodeResult,
    InterpolateRequest,
    PictureRequest,
    PicturesResult,
    Reconstruction,
    ReconstructRequest,
    ReconstructResult,
    SampleRequest,
    VariationRequest,
)
from deployments.image.call import Call, mean_of, pictures_given
from deployments.image.decoding import Pixels
from deployments.image.drawing import Draws
from deployments.image.limits import ImageLimits
from deployments.image.pixels import Floats, to_floats, to_pixels
from deployments.image.refusals import (
    class_of,
    refuse_best_of,
    refuse_fields,
    refuse_other_size,
)
from deployments.image.row_batcher import Row, RowLimits
from deployments.image.seeds import SEEDS
from deployments.image.single_run import Plan, SingleRunService, plan_of
from deployments.image.vae.fidelity import fidelity_of
from deployments.image.vae.prior import load_prior
from deployments.kernels import image_names as names
from deployments.kernels.image_session import Networks


class VaeService(SingleRunService):
    """See `ImageService`."""

    def __init__(
        self,
        model: InstalledModel,
        networks: Networks,
        limits: ImageLimits,
        rows: RowLimits,
    ) -> None:
        super().__init__(model, networks, limits, rows)
        facts = networks.facts(names.VAE_DECODER)
        factor = int(facts["factor"])
        shape = (
            int(facts["latent_channels"]),
            self.facts.height // factor,
            self.facts.width // factor,
        )
        self._scaling = np.float32(facts["scaling_factor"])
        self._shift = np.float32(facts["shift_factor"])
        self._prior = load_prior(model.path, shape, float(self._scaling), float(self._shift))

    async def planned(self, call: Call, request: PictureRequest) -> Plan:
        refuse_best_of(self.card, request)
        refuse_fields(self.card, request, "denoising")
        if isinstance(request, VariationRequest):
            (mean,) = await self._means(call, await self._given(call, (request.image,), "image"))
            prior, strength = self._prior, request.strength
            return plan_of(
                request,
                names.VAE_DECODER,
                lambda seed: {names.LATENT: prior.near(mean, strength, Draws(seed))},
            )
        assert isinstance(request, SampleRequest)  # no other task has a row in TASKS
        refuse_fields(self.card, request, "latent_terms", "top_k")
        refuse_other_size(self.card, request.width, request.height)
        class_of(self.card, request.label)
        return await call.off_loop(lambda: self._sampled(request))

    async def encode_image(self, request: EncodeRequest) -> EncodeResult:
        self.require(Task.ENCODE_IMAGE)
        self.limits.check_candidates(len(request.images), 1)
        with self.call(request) as call:
            given = await self._given(call, request.images, "images")
            answers = await call.encode(names.VAE_ENCODER, _image_rows(given))
            latents = [answer.outputs[0] for answer in answers]
            if request.seed is not None:
                latents = [
                    mean + deviation * Draws((request.seed + index) % SEEDS).normal(mean.shape)
                    for index, (mean, deviation) in enumerate(one.outputs for one in answers)
                ]
            scaled = (np.stack(latents) - self._shift) * self._scaling
            return EncodeResult(scaled.astype(np.float32), call.timings())

    async def decode_image(self, request: DecodeRequest) -> PicturesResult:
        self.require(Task.DECODE_IMAGE)
        class_of(self.card, request.label)
        with self.call(request) as call:
            latents = self.latents_given(request.latents) / self._scaling + self._shift
            made = await self._decoded(call, latents)
            pictures = await self.written(call, made, request.format, Task.DECODE_IMAGE)
            return PicturesResult(pictures, call.timings())

    async def reconstruct(self, request: ReconstructRequest) -> ReconstructResult:
        self.require(Task.RECONSTRUCT)
        self.limits.check_candidates(len(request.images), 1)
        with self.call(request) as call:
            given = await self._given(call, request.images, "images")
            made = await self._decoded(call, await self._means(call, given))
            pictures = await self.written(call, made, request.format, Task.RECONSTRUCT)
            lost = await call.off_loop(
                lambda: [fidelity_of(*pair) for pair in zip(made, given, strict=True)]
            )
            images = tuple(
                Reconstruction(picture, one.mse, one.psnr, one.ssim)
                for picture, one in zip(pictures, lost, strict=True)
            )
            return ReconstructResult(images, call.timings())

    async def interpolate(self, request: InterpolateRequest) -> PicturesResult:
        """On the straight line between the means."""
        self.require(Task.INTERPOLATE)
        if request.images is None:
            raise InvalidRequest(
                f"{self.card.id} goes from picture to picture: give images", "seeds"
            )
        class_of(self.card, request.label)
        with self.call(request) as call:
            given = await self._given(call, request.images, "images")
            first, last = await self._means(call, given)
            shares = np.linspace(0, 1, request.frames)
            made = await self._decoded(call, [mean_of((first, last), share) for share in shares])
            pictures = await self.written(call, made, request.format, Task.INTERPOLATE)
            return PicturesResult(pictures, call.timings())

    def _sampled(self, request: SampleRequest) -> Plan:
        temperature = 1.0 if request.temperature is None else request.temperature
        return plan_of(
            request,
            names.VAE_DECODER,
            lambda seed: {
                names.LATENT: self._prior.sample(Draws(seed), temperature, request.truncation)
            },
        )

    async def _given(self, call: Call, images: Sequence[EncodedImage], param: str) -> list[Pixels]:
        return await call.off_loop(lambda: pictures_given(images, self.facts, self.limits, param))

    async def _means(self, call: Call, given: Sequence[Pixels]) -> list[Floats]:
        answers = await call.encode(names.VAE_ENCODER, _image_rows(given))
        return [answer.outputs[0] for answer in answers]

    async def _decoded(self, call: Call, latents: Sequence[Floats] | Floats) -> list[Pixels]:
        rows: list[Row] = [{names.LATENT: latent} for latent in latents]
        answers = await call.run(names.VAE_DECODER, rows)
        return await call.off_loop(lambda: [to_pixels(one.outputs[0]) for one in answers])


def _image_rows(given: Sequence[Pixels]) -> list[Row]:
    return [{names.IMAGE: to_floats(pixels)} for pixels in given]
