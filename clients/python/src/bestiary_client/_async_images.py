"""Tasks of images for asyncio: `client.images`. Its twin is `_images.py`.

What the methods say is in `_image_requests.py`, what they give in `_image_results.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from typing_extensions import Unpack

from bestiary_client import _image_replies as replies
from bestiary_client._async_image_streaming import AsyncImageStream
from bestiary_client._async_transport import AsyncTransport
from bestiary_client._image_inputs import ImageInput, LatentInput
from bestiary_client._image_requests import (
    CompleteImageOptions,
    ImageOptions,
    PictureOptions,
    PromptOptions,
    SampleOptions,
    SizedOptions,
    StrengthOptions,
    TrajectoryOptions,
    VaryOptions,
    decode_body,
    draw_call,
    encode_body,
    image_call,
    inpaint_body,
    interpolate_body,
    noise_body,
    picture_body,
    pictures_body,
)
from bestiary_client._image_results import (
    Discrimination,
    GeneratedImage,
    ImageResults,
    Latent,
    Likelihood,
    NoisedImage,
    Picture,
    Reconstruction,
    Trajectory,
)
from bestiary_client._json import JsonObject, parse_object
from bestiary_client._requests import Call

T = TypeVar("T")
R = TypeVar("R", bound=ImageResults[object])


class AsyncImages:
    """Pictures in are bytes, paths, earlier results or PIL images; out they are `Picture`s."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def sample(self, **options: Unpack[SampleOptions]) -> ImageResults[GeneratedImage]:
        """Pictures of nothing in particular, or of class `label`."""
        call = draw_call("sample", {}, options, SampleOptions, stream=False)
        return await self._each(call, replies.generated)

    async def text_to_image(
        self, prompt: str, **options: Unpack[SizedOptions]
    ) -> ImageResults[GeneratedImage]:
        """Pictures of what the prompt says; `(word:1.3)` weighs a part of it."""
        call = draw_call("text-to-image", {"prompt": prompt}, options, SizedOptions, stream=False)
        return await self._each(call, replies.generated)

    async def image_to_image(
        self, image: ImageInput, prompt: str | None = None, **options: Unpack[StrengthOptions]
    ) -> ImageResults[GeneratedImage]:
        """The picture made anew towards the prompt, as far as `strength` says."""
        call = draw_call(
            "image-to-image", picture_body(image, prompt), options, StrengthOptions, stream=False
        )
        return await self._each(call, replies.generated)

    async def inpaint(
        self,
        image: ImageInput,
        mask: ImageInput,
        prompt: str | None = None,
        **options: Unpack[StrengthOptions],
    ) -> ImageResults[GeneratedImage]:
        """White (or transparent) parts of the mask made anew; the rest stays."""
        call = draw_call(
            "inpaint", inpaint_body(image, mask, prompt), options, StrengthOptions, stream=False
        )
        return await self._each(call, replies.generated)

    async def super_resolve(
        self, image: ImageInput, prompt: str | None = None, **options: Unpack[PromptOptions]
    ) -> ImageResults[GeneratedImage]:
        """The picture larger by the model's scale."""
        call = draw_call(
            "super-resolve", picture_body(image, prompt), options, PromptOptions, stream=False
        )
        return await self._each(call, replies.generated)

    async def vary(
        self, image: ImageInput, **options: Unpack[VaryOptions]
    ) -> ImageResults[GeneratedImage]:
        """Pictures like this one."""
        call = draw_call("vary", picture_body(image), options, VaryOptions, stream=False)
        return await self._each(call, replies.generated)

    async def complete(
        self, image: ImageInput, **options: Unpack[CompleteImageOptions]
    ) -> ImageResults[GeneratedImage]:
        """The first rows of the picture, and how the model goes on from there."""
        call = draw_call(
            "complete", picture_body(image), options, CompleteImageOptions, stream=False
        )
        return await self._each(call, replies.generated)

    def stream_sample(self, **options: Unpack[SampleOptions]) -> AsyncImageStream:
        """As `sample`, with news on the way. Use it in an `async with`."""
        return self._stream(draw_call("sample", {}, options, SampleOptions, stream=True))

    def stream_text_to_image(
        self, prompt: str, **options: Unpack[SizedOptions]
    ) -> AsyncImageStream:
        """As `text_to_image`, with news on the way. Use it in an `async with`."""
        return self._stream(
            draw_call("text-to-image", {"prompt": prompt}, options, SizedOptions, stream=True)
        )

    def stream_image_to_image(
        self, image: ImageInput, prompt: str | None = None, **options: Unpack[StrengthOptions]
    ) -> AsyncImageStream:
        """As `image_to_image`, with news on the way. Use it in an `async with`."""
        return self._stream(
            draw_call(
                "image-to-image", picture_body(image, prompt), options, StrengthOptions, stream=True
            )
        )

    def stream_inpaint(
        self,
        image: ImageInput,
        mask: ImageInput,
        prompt: str | None = None,
        **options: Unpack[StrengthOptions],
    ) -> AsyncImageStream:
        """As `inpaint`, with news on the way. Use it in an `async with`."""
        return self._stream(
            draw_call(
                "inpaint", inpaint_body(image, mask, prompt), options, StrengthOptions, stream=True
            )
        )

    def stream_super_resolve(
        self, image: ImageInput, prompt: str | None = None, **options: Unpack[PromptOptions]
    ) -> AsyncImageStream:
        """As `super_resolve`, with news on the way. Use it in an `async with`."""
        return self._stream(
            draw_call(
                "super-resolve", picture_body(image, prompt), options, PromptOptions, stream=True
            )
        )

    def stream_vary(self, image: ImageInput, **options: Unpack[VaryOptions]) -> AsyncImageStream:
        """As `vary`, with news on the way. Use it in an `async with`."""
        return self._stream(
            draw_call("vary", picture_body(image), options, VaryOptions, stream=True)
        )

    def stream_complete(
        self, image: ImageInput, **options: Unpack[CompleteImageOptions]
    ) -> AsyncImageStream:
        """As `complete`, with news on the way. Use it in an `async with`."""
        return self._stream(
            draw_call("complete", picture_body(image), options, CompleteImageOptions, stream=True)
        )

    async def encode(
        self,
        images: ImageInput | Iterable[ImageInput],
        *,
        seed: int | None = None,
        **options: Unpack[ImageOptions],
    ) -> ImageResults[Latent]:
        """One latent a picture: the distribution's mean, or with a seed one drawn from it."""
        call = image_call("encode", encode_body(images, seed), options, ImageOptions)
        return await self._each(call, replies.latent)

    async def decode(
        self,
        latents: Iterable[LatentInput],
        *,
        label: str | None = None,
        **options: Unpack[PictureOptions],
    ) -> ImageResults[Picture]:
        """One picture a latent; give nested lists, or what `encode` gave."""
        call = image_call("decode", decode_body(latents, label), options, PictureOptions)
        return await self._each(call, replies.picture)

    async def reconstruct(
        self, images: ImageInput | Iterable[ImageInput], **options: Unpack[PictureOptions]
    ) -> ImageResults[Reconstruction]:
        """Through the latent and back, with what was lost."""
        call = image_call("reconstruct", pictures_body(images), options, PictureOptions)
        return await self._each(call, replies.reconstruction)

    async def interpolate(
        self,
        first: ImageInput | int,
        second: ImageInput | int,
        *,
        label: str | None = None,
        frames: int | None = None,
        **options: Unpack[PictureOptions],
    ) -> ImageResults[Picture]:
        """From one picture (or a GAN's seed) to another through the latents; both ends included."""
        call = image_call(
            "interpolate", interpolate_body(first, second, label, frames), options, PictureOptions
        )
        return await self._each(call, replies.picture)

    async def discriminate(
        self,
        images: ImageInput | Iterable[ImageInput],
        *,
        label: str | None = None,
        **options: Unpack[ImageOptions],
    ) -> ImageResults[Discrimination]:
        """Whether each picture is real or made, as a GAN's discriminator sees it."""
        call = image_call("discriminate", pictures_body(images, label=label), options, ImageOptions)
        return await self._each(call, replies.discrimination)

    async def likelihood(
        self,
        images: ImageInput | Iterable[ImageInput],
        *,
        label: str | None = None,
        **options: Unpack[ImageOptions],
    ) -> ImageResults[Likelihood]:
        """How likely the model finds each picture, exactly."""
        call = image_call("likelihood", pictures_body(images, label=label), options, ImageOptions)
        return await self._each(call, replies.likelihood)

    async def noise(
        self,
        image: ImageInput,
        timesteps: int | Sequence[int],
        *,
        seed: int | None = None,
        **options: Unpack[PictureOptions],
    ) -> ImageResults[NoisedImage]:
        """The picture as it is after so many noising steps; 0: as it was."""
        call = image_call("noise", noise_body(image, timesteps, seed), options, PictureOptions)
        return await self._each(call, replies.noised)

    async def trajectory(
        self,
        prompt: str | None = None,
        *,
        image: ImageInput | None = None,
        **options: Unpack[TrajectoryOptions],
    ) -> Trajectory:
        """The way from noise (or from `image`, noised by `strength`) to the end, in frames."""
        call = image_call("trajectory", picture_body(image, prompt), options, TrajectoryOptions)
        return await self._read(call, replies.trajectory)

    async def _each(self, call: Call, read: Callable[[JsonObject], T]) -> ImageResults[T]:
        return await self._read(call, lambda body, headers: replies.results(body, headers, read))

    async def _read(self, call: Call, read: Callable[[JsonObject, replies.Headers], R]) -> R:
        answer = await self._transport.send(call)
        result = read(parse_object(answer.content), answer.headers)
        self._transport.last_receipt.set(result.receipt)
        return result

    def _stream(self, call: Call) -> AsyncImageStream:
        return AsyncImageStream(lambda: self._transport.open(call), self._transport.last_receipt)
