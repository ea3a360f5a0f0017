"""What callers get of images. Plain frozen values; a picture is its file's bytes.

Pillow is needed only where pixels are asked for: `pip install bestiary-client[images]`.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar, overload

from bestiary_client._errors import ConfigurationError
from bestiary_client._receipts import LatencyReceipt

if TYPE_CHECKING:  # Pillow is an extra
    from PIL.Image import Image

T_co = TypeVar("T_co", covariant=True)
_SUFFIXES = {"png": (".png",), "webp": (".webp",)}


@dataclass(frozen=True)
class Picture:
    """A PNG or WebP file. Who made it from what is written in it."""

    data: bytes = field(repr=False)
    format: str  # "png" or "webp"
    width: int  # pixels
    height: int

    @property
    def image(self) -> Image:
        """Opened anew each time, as `PIL.Image.Image`. Raises ConfigurationError without Pillow."""
        try:
            from PIL import Image
        except ImportError:
            raise ConfigurationError(
                "opening a picture needs Pillow: pip install 'bestiary-client[images]'; "
                "`data` has the file's bytes without it"
            ) from None
        return Image.open(io.BytesIO(self.data))

    def save(self, path: str | Path) -> Path:
        """Writes the file, as it came where its name says the same format; else Pillow converts.

        Returns the path. Raises OSError.
        """
        target = Path(path)
        if target.suffix.lower() in _SUFFIXES.get(self.format, ()) or not target.suffix:
            target.write_bytes(self.data)
        else:
            with self.image as opened:
                opened.convert("RGB").save(target)
        return target


@dataclass(frozen=True)
class ImageWork:
    """What one picture cost; candidates of `best_of` that were not kept count too."""

    steps: int
    evaluations: int  # rows of the network that were computed
    seconds: float  # of the network's runs, shared out by rows
    cached_steps: int = 0  # that used an earlier prediction again


@dataclass(frozen=True)
class GeneratedImage(Picture):
    seed: int  # makes this picture again
    work: ImageWork
    score: float | None = None  # of the model's scorer, where it has one
    scores: tuple[float, ...] = ()  # of all its candidates


@dataclass(frozen=True)
class ImageUsage:
    """Of a whole call. `steps` and what follows are told of pictures that were generated."""

    images: int
    seconds: float
    steps: int | None = None
    evaluations: int | None = None
    cached_steps: int | None = None


@dataclass(frozen=True)
class ImageResults(Sequence[T_co], Generic[T_co]):
    """One result per picture, in order; a sequence of them itself. `model` is who answered."""

    model: str
    items: tuple[T_co, ...]
    usage: ImageUsage
    request_id: str | None = None
    receipt: LatencyReceipt | None = None

    @overload
    def __getitem__(self, index: int) -> T_co: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T_co]: ...
    def __getitem__(self, index: int | slice) -> T_co | Sequence[T_co]:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True)
class Latent:
    """One picture's; `values` are in the order of `shape`, the last axis fastest."""

    shape: tuple[int, ...]
    values: list[float]


@dataclass(frozen=True)
class Reconstruction(Picture):
    """Against the picture as the model sees it, values 0..1."""

    mse: float
    psnr: float  # dB; infinite where nothing was lost
    ssim: float  # -1..1


@dataclass(frozen=True)
class Discrimination:
    score: float  # what the discriminator says: a logit
    probability: float  # that the picture is real
    is_real: bool
    calibrated: bool  # on held-out pictures; else the logit's plain sigmoid


@dataclass(frozen=True)
class Likelihood:
    log_likelihood: float  # nats
    bits_per_dimension: float
    dimensions: int
    per_row: tuple[float, ...]  # bits per dimension of each row of the picture


@dataclass(frozen=True)
class NoisedImage(Picture):
    """x_t = signal * x_0 + noise * e."""

    timestep: int
    signal: float
    noise: float
    snr: float  # signal^2 / noise^2; infinite where there is no noise


@dataclass(frozen=True)
class TrajectoryFrame(Picture):
    """The noisy state itself; `denoised` is what the model thinks it will become."""

    step: int  # done; 0: the start
    timestep: float
    snr: float
    denoised: Picture | None  # None at the start


@dataclass(frozen=True)
class Trajectory(ImageResults[TrajectoryFrame]):
    """Its frames, as a sequence, and the picture that they end in."""

    result: GeneratedImage = field(kw_only=True)


@dataclass(frozen=True)
class ImageProgress:
    """Picture `index` is at `step` of `steps`; `preview` comes with some of them."""

    index: int
    step: int
    steps: int
    preview: Picture | None = None


@dataclass(frozen=True)
class ImageDone:
    """Picture `index` is done."""

    index: int
    image: GeneratedImage


ImageEvent = ImageProgress | ImageDone
