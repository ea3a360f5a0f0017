"""The image family: four kinds of model (VAE, GAN, autoregressive, diffusion), one schema.

Images cross the Serve handle as encoded files, in both directions: what the caller sent, as it
was sent, and finished PNG or WebP. So the gateway needs no image library, a message is as small
as it can be, a picture is decoded in one place only (the replica, under `limits.py`'s bounds), and
what is written into a file (model, seed, hash of the prompt) is written by who knows it. Numbers
that are no picture (latents, log-likelihoods) cross as float32 arrays.

Requests that make pictures go to the replica's method `generate_images`, a stream of `ImageChunk`;
all others have a method of their own and one answer, see `services/router/replica_methods.py`.
A model refuses a request that is not among its card's tasks, and a field that does nothing in it
(UnsupportedParameter). None in a field means the model's own default, which its card names.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from bestiary.schemas.base import Frozen
from bestiary.schemas.text import EngineTimings

MAX_IMAGES = 64  # of one request, in or out
MAX_CANDIDATES = 64  # `images` times `best_of`
MAX_STEPS = 1000
MAX_SIDE = 4096  # pixels, of a picture in or out
MAX_PIXELS = 4 * 1024 * 1024  # of one picture in or out; a profile may allow less
MAX_IMAGE_BYTES = 32 * 1024 * 1024  # of one encoded picture
MAX_LATENT_BYTES = 16 * 1024 * 1024
FLOAT32_BYTES = 4
MAX_PROMPT = 4000  # characters
MAX_FRAMES = 64  # of an interpolation or a trajectory
MAX_SHOWN_LEVELS = 64  # timesteps of one `NoiseRequest`


class ImageFamily(StrEnum):
    """Which of the four kinds a model is; on its card as `image.family`."""

    VAE = "vae"
    GAN = "gan"
    AUTOREGRESSIVE = "autoregressive"
    DIFFUSION = "diffusion"


class ImageFormat(StrEnum):
    """Of pictures that go out. PNG, JPEG and WebP come in."""

    PNG = "png"
    WEBP = "webp"


class Sampler(StrEnum):
    """Noise schedulers, by the names that people know them by; diffusers' class beside each."""

    DDPM = "ddpm"  # DDPMScheduler, arXiv:2006.11239
    DDIM = "ddim"  # DDIMScheduler, arXiv:2010.02502
    DPM_SOLVER = "dpm++"  # DPMSolverMultistepScheduler, arXiv:2211.01095
    DPM_SOLVER_KARRAS = "dpm++-karras"  # the same at arXiv:2206.00364's noise levels
    DPM_SOLVER_SDE = "dpm++-sde"  # DPMSolverMultistepScheduler, sde-dpmsolver++
    DPM_SOLVER_SINGLE = "dpm++-single"  # DPMSolverSinglestepScheduler
    EULER = "euler"  # EulerDiscreteScheduler
    EULER_ANCESTRAL = "euler-a"  # EulerAncestralDiscreteScheduler
    HEUN = "heun"  # HeunDiscreteScheduler: two evaluations a step
    KDPM2 = "kdpm2"  # KDPM2DiscreteScheduler: two evaluations a step
    KDPM2_ANCESTRAL = "kdpm2-a"  # KDPM2AncestralDiscreteScheduler
    LMS = "lms"  # LMSDiscreteScheduler
    PNDM = "pndm"  # PNDMScheduler, arXiv:2202.09778
    UNIPC = "unipc"  # UniPCMultistepScheduler, arXiv:2302.04867
    DEIS = "deis"  # DEISMultistepScheduler, arXiv:2204.13902
    SA_SOLVER = "sa-solver"  # SASolverScheduler, arXiv:2309.05019
    LCM = "lcm"  # LCMScheduler, arXiv:2310.04378: for models that were distilled for it
    TCD = "tcd"  # TCDScheduler, arXiv:2402.19159: likewise
    FLOW_EULER = "flow-euler"  # FlowMatchEulerDiscreteScheduler: for flow-matching models only
    FLOW_HEUN = "flow-heun"  # FlowMatchHeunDiscreteScheduler: likewise


class EncodedImage(Frozen):
    """A file's bytes: PNG, JPEG or WebP. What its name or its caller called it does not count."""

    data: Annotated[bytes, Field(min_length=1, max_length=MAX_IMAGE_BYTES)]


class ImageRequest(Frozen):
    """What all requests of the family have."""

    request_id: str
    deadline_s: Annotated[float, Field(gt=0)] | None = None  # from arrival at the replica


Seed = Annotated[int, Field(ge=0, lt=2**63)]
Strength = Annotated[float, Field(gt=0, le=1)]
Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]


class GenerationRequest(ImageRequest):
    """What all requests that make pictures have.

    Picture i of a request has the seed `seed + i` (mod 2^63), so that any one of them can be
    made again alone; what a picture looks like never depends on its company. `best_of` candidates
    are made for each picture, seeds running on, and the best is kept by the model's scorer.
    """

    images: Annotated[int, Field(ge=1, le=MAX_IMAGES)] = 1
    best_of: Annotated[int, Field(ge=1, le=MAX_CANDIDATES)] = 1
    seed: Seed | None = None  # None: drawn, and told in the reply
    format: ImageFormat = ImageFormat.PNG
    # So many unfinished pictures of each image come on the way, evenly spread; 0: none.
    previews: Annotated[int, Field(ge=0, le=MAX_FRAMES)] = 0

    @model_validator(mode="after")
    def _bounded_candidates(self) -> GenerationRequest:
        if self.images * self.best_of > MAX_CANDIDATES:
            raise ValueError(
                f"images times best_of is {self.images * self.best_of}; "
                f"at most {MAX_CANDIDATES} candidates are made"
            )
        return self


class Denoising(Frozen):
    """How a diffusion model goes from noise to a picture."""

    steps: Annotated[int, Field(ge=1, le=MAX_STEPS)] | None = None
    sampler: Sampler | None = None
    eta: Annotated[float, Field(ge=0, le=1)] = 0.0  # ddim, tcd: share of fresh noise per step
    # Classifier-free guidance, arXiv:2207.12598: 1 is none, and costs one evaluation a step
    # where any other costs two.
    guidance_scale: Annotated[float, Field(ge=0, le=100)] | None = None
    # The share of the steps that are guided, from the noisy end, arXiv:2404.07724. Below 1 it is
    # cheaper: steps outside cost one evaluation.
    guidance_share: Annotated[float, Field(ge=0, le=1)] | None = None
    # The unguided prediction is computed afresh every so many guided steps, and its distance
    # from the guided one is kept between. 1: at every step.
    guidance_every: Annotated[int, Field(ge=1, le=16)] | None = None
    # Step caching: a step's prediction is used again while the latent has moved by less than this
    # share since it was made, for at most 3 steps in a row. 0: never.
    cache_threshold: Annotated[float, Field(ge=0, le=1)] = 0.0


class TextPrompt(Frozen):
    """`(word:1.3)` and `(word)` weigh a part of the prompt, `\\(` is a bracket."""

    text: Annotated[str, Field(max_length=MAX_PROMPT)]
    negative: Annotated[str, Field(max_length=MAX_PROMPT)] = ""  # needs guidance


class SampleRequest(GenerationRequest):
    """Pictures of nothing in particular, or of one class. All four kinds.

    `latent_terms` (GAN): the latent is the sum of weight times the latent of a seed, for
    arithmetic such as smiling - neutral + other. `truncation` (GAN, VAE): latents are drawn from
    a normal distribution whose tails beyond it are drawn again.
    """

    label: str | None = None  # a class of the card's
    denoising: Denoising = Denoising()  # diffusion
    width: Side | None = None  # diffusion: where the card says `resizable`
    height: Side | None = None
    truncation: Annotated[float, Field(gt=0, le=10)] | None = None
    latent_terms: Annotated[tuple[tuple[Seed, float], ...], Field(max_length=16)] = ()
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None  # autoregressive, VAE
    top_k: Annotated[int, Field(ge=0)] | None = None  # autoregressive; 0: all


class TextToImageRequest(GenerationRequest):
    prompt: TextPrompt
    denoising: Denoising = Denoising()
    width: Side | None = None  # None: the model's own
    height: Side | None = None


class ImageToImageRequest(GenerationRequest):
    """The picture is noised by `strength` (1: entirely) and denoised towards the prompt.

    It is fitted to the model's size. Steps: `strength` of those asked for, arXiv:2108.01073.
    """

    image: EncodedImage
    prompt: TextPrompt | None = None  # None: the model takes none
    strength: Strength = 0.8
    denoising: Denoising = Denoising()


class InpaintRequest(GenerationRequest):
    """White (or, of a picture with transparency, transparent) parts of the mask are made anew.

    Everything else comes back byte for byte at the model's size. The mask has the picture's size.
    """

    image: EncodedImage
    mask: EncodedImage
    prompt: TextPrompt | None = None
    strength: Strength = 1.0
    denoising: Denoising = Denoising()


class SuperResolutionRequest(GenerationRequest):
    """The picture comes back larger by the card's `image.scale`, whatever its size.

    Diffusion models, and feed-forward ones, for which nothing is drawn and `seed` does nothing.
    """

    image: EncodedImage
    prompt: TextPrompt | None = None
    denoising: Denoising = Denoising()


class VariationRequest(GenerationRequest):
    """Pictures like this one: VAE (near it in the latent), diffusion (img2img, no prompt)."""

    image: EncodedImage
    strength: Strength = 0.5
    denoising: Denoising = Denoising()


class CompletionRequest(GenerationRequest):
    """The first rows of a picture are kept, the model goes on from there. Autoregressive."""

    image: EncodedImage
    keep: Annotated[float, Field(ge=0, lt=1)] = 0.5  # share of the rows, from the top
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None  # 0: all


class EncodeRequest(ImageRequest):
    """Pictures to latents: VAE, and a diffusion model that has one; codes: autoregressive."""

    images: Annotated[tuple[EncodedImage, ...], Field(min_length=1, max_length=MAX_IMAGES)]
    # None: the distribution's mean; else one drawn from it
    seed: Seed | None = None


class Latents(Frozen):
    """float32, little-endian, row-major, [n, ...] with the rest as the card's `latent_shape`."""

    shape: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=2, max_length=4)]
    data: Annotated[bytes, Field(max_length=MAX_LATENT_BYTES)]

    @model_validator(mode="after")
    def _whole(self) -> Latents:
        if self.shape[0] > MAX_IMAGES:
            raise ValueError(f"{self.shape[0]} latents; at most {MAX_IMAGES} are decoded at once")
        if math.prod(self.shape) * FLOAT32_BYTES != len(self.data):
            raise ValueError(f"{len(self.data)} bytes are no float32 of shape {self.shape}")
        return self

    def array(self) -> NDArray[np.float32]:
        """Read-only, [n, ...]."""
        return np.frombuffer(self.data, "<f4").reshape(self.shape).astype(np.float32, copy=False)


class DecodeRequest(ImageRequest):
    """Latents to pictures. VAE, GAN, diffusion's VAE. Not finite ones are an InvalidRequest."""

    latents: Latents
    label: str | None = None  # GAN with classes
    format: ImageFormat = ImageFormat.PNG


class ReconstructRequest(ImageRequest):
    """Through the latent and back, with what was lost. VAE."""

    images: Annotated[tuple[EncodedImage, ...], Field(min_length=1, max_length=MAX_IMAGES)]
    format: ImageFormat = ImageFormat.PNG


class InterpolateRequest(ImageRequest):
    """From one end to the other through the latents. Two pictures (VAE) or two seeds (GAN).

    A GAN's latents go along the sphere, a VAE's on a straight line.
    """

    images: tuple[EncodedImage, EncodedImage] | None = None
    seeds: tuple[Seed, Seed] | None = None
    label: str | None = None
    frames: Annotated[int, Field(ge=2, le=MAX_FRAMES)] = 8  # both ends included
    format: ImageFormat = ImageFormat.PNG

    @model_validator(mode="after")
    def _one_kind_of_end(self) -> InterpolateRequest:
        if (self.images is None) == (self.seeds is None):
            raise ValueError("give exactly one of images and seeds")
        return self


class DiscriminateRequest(ImageRequest):
    """Real or made? GAN."""

    images: Annotated[tuple[EncodedImage, ...], Field(min_length=1, max_length=MAX_IMAGES)]
    label: str | None = None


class LikelihoodRequest(ImageRequest):
    """How likely the model finds each picture: exact. Autoregressive."""

    images: Annotated[tuple[EncodedImage, ...], Field(min_length=1, max_length=MAX_IMAGES)]
    label: str | None = None


class NoiseRequest(ImageRequest):
    """The forward process: the picture as it is after t noising steps. Diffusion."""

    image: EncodedImage
    timesteps: Annotated[
        tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1, max_length=MAX_SHOWN_LEVELS)
    ]
    seed: Seed | None = None
    format: ImageFormat = ImageFormat.PNG


class TrajectoryRequest(ImageRequest):
    """The reverse process, watched: one picture from noise to the end. Diffusion.

    With `image` it starts from that picture, noised by `strength`.
    """

    frames: Annotated[int, Field(ge=2, le=MAX_FRAMES)] = 8  # the noise and the end included
    prompt: TextPrompt | None = None
    label: str | None = None
    image: EncodedImage | None = None
    strength: Strength = 1.0
    denoising: Denoising = Denoising()
    seed: Seed | None = None
    format: ImageFormat = ImageFormat.PNG


# What `generate_images` takes.
PictureRequest = (
    SampleRequest
    | TextToImageRequest
    | ImageToImageRequest
    | InpaintRequest
    | SuperResolutionRequest
    | VariationRequest
    | CompletionRequest
)


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded picture that goes out."""

    data: bytes
    format: ImageFormat
    width: int  # pixels
    height: int


@dataclass(frozen=True, slots=True)
class ImageWork:
    """What one picture cost. Candidates of `best_of` that were not kept count too."""

    steps: int  # denoising steps; pixels or codes of an autoregressive model; 1 of the others
    evaluations: int  # rows of the network that were computed: UNet, decoder or generator
    # Seconds of the runs that it had a part in, shared out by rows: what it cost, where its
    # latency also holds what others cost.
    seconds: float
    cached: int = 0  # steps that used an earlier prediction again


@dataclass(frozen=True, slots=True)
class GeneratedImage:
    picture: Picture
    seed: int
    work: ImageWork
    score: float | None = None  # of the model's scorer; None: it has none
    scores: tuple[float, ...] = ()  # of all its candidates, in the order of their seeds


@dataclass(frozen=True, slots=True)
class ImageChunk:
    """The next news of a request that makes pictures.

    Progress: how far picture `index` is. `preview` comes with some of them. The last chunk of a
    picture carries `image`; the last one of the request carries `timings` too. Of `best_of`
    candidates only what is kept is heard, at its end.
    """

    index: int  # of the picture
    step: int  # done
    steps: int  # in all
    preview: Picture | None = None
    image: GeneratedImage | None = None
    timings: EngineTimings | None = None  # prefill: encoding what is given; decode: all else


@dataclass(frozen=True, slots=True)
class EncodeResult:
    """`latents` is float32 [n, channels, height, width], scaled as the decoder wants them.

    Codes of an autoregressive model are whole numbers in [n, 1, rows, columns].
    """

    latents: NDArray[np.float32]
    timings: EngineTimings


@dataclass(frozen=True, slots=True)
class PicturesResult:
    """Of `decode` and `interpolate`: in the order of what was asked."""

    pictures: tuple[Picture, ...]
    timings: EngineTimings


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """Against the picture as the model sees it, fitted to its size, values 0..1."""

    picture: Picture
    mse: float
    psnr: float  # dB; infinite where nothing was lost
    ssim: float  # -1..1, Gaussian window of 11, Wang et al. 2004


@dataclass(frozen=True, slots=True)
class ReconstructResult:
    images: tuple[Reconstruction, ...]
    timings: EngineTimings


@dataclass(frozen=True, slots=True)
class Discrimination:
    score: float  # the discriminator's logit: what it says
    probability: float  # that the picture is real, calibrated on held-out data where `calibrated`
    calibrated: bool


@dataclass(frozen=True, slots=True)
class DiscriminateResult:
    images: tuple[Discrimination, ...]
    timings: EngineTimings


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Of the picture as the model sees it: fitted to its size and its number of colours."""

    log_likelihood: float  # nats, natural
    bits_per_dimension: float
    dimensions: int  # pixels times channels, or codes
    per_row: tuple[float, ...]  # bits per dimension of each row of the picture


@dataclass(frozen=True, slots=True)
class LikelihoodResult:
    images: tuple[Likelihood, ...]
    timings: EngineTimings


@dataclass(frozen=True, slots=True)
class NoisedImage:
    """x_t = signal * x_0 + noise * e, of the latent where the model has one."""

    timestep: int
    picture: Picture
    signal: float
    noise: float
    snr: float  # signal^2 / noise^2; infinite where there is no noise


@dataclass(frozen=True, slots=True)
class NoiseResult:
    images: tuple[NoisedImage, ...]  # in the order of the timesteps asked for
    seed: int
    timings: EngineTimings


@dataclass(frozen=True, slots=True)
class TrajectoryFrame:
    """`picture` is the noisy state itself, `denoised` what the model thinks it will become."""

    step: int  # done; 0: the start
    timestep: float  # of the training's; 0 at the end
    snr: float  # infinite at the end
    picture: Picture
    denoised: Picture | None  # None at the start


@dataclass(frozen=True, slots=True)
class TrajectoryResult:
    frames: tuple[TrajectoryFrame, ...]
    image: GeneratedImage
    timings: EngineTimings


@dataclass(frozen=True, slots=True)
class ImageCounts:
    """What an image engine has done since its start; only ever grows."""

    images: int = 0
    runs: int = 0  # of the network that takes most time
    evaluations: int = 0  # rows in those runs
    cached_steps: int = 0
    cancelled: int = 0  # pictures whose caller went away
