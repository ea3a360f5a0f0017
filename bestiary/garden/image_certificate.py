"""The parity certificate of an image model's build: what it lost against torch, and how fast it is.

Only the record and what is tolerated of it; `deployments/kernels/image_certify.py` measures, and
keeps it beside the build.
"""

from __future__ import annotations

from bestiary.garden.image_tolerance import ImageTolerance
from bestiary.schemas.base import Frozen


class PartParity(Frozen):
    """One graph on the certificate's inputs, which are kept beside it in `reference.npz`.

    Errors are shares of the spread (standard deviation) of torch's output.
    """

    rows: int
    max_error: float
    mean_error: float
    max_absolute: float
    mean_absolute: float


class PartSpeed(Frozen):
    """Milliseconds of one run by its rows, median of some, on a machine that may have had other
    work."""

    torch_ms: dict[str, float]
    ours_ms: dict[str, float]


class PipelineParity(Frozen):
    """Whole pictures at fixed seeds, the same engine over torch's networks and over ours."""

    seeds: tuple[int, ...]
    sampler: str
    steps: int
    psnr: float  # dB, the worst picture's; 100 where they are equal


class ImageCertificate(Frozen):
    """`certificate.json`, beside a build's graphs."""

    format: int
    card: str
    revision: str  # of the weights
    precision: str
    parts: dict[str, PartParity]
    speed: dict[str, PartSpeed]
    pipeline: PipelineParity | None  # None: see `not_certified`
    not_certified: str = ""
    bytes: int  # of the build's files
    versions: dict[str, str]  # of the libraries that measured
    cpu: str
    provider: str  # ONNX Runtime's execution provider
    made_at: str  # ISO 8601, UTC

    def exceeds(self, tolerance: ImageTolerance) -> str:
        """What of it is outside, or nothing."""
        for name, part in self.parts.items():
            if part.max_error > tolerance.max_error:
                return f"the largest error of its {name} is {part.max_error:.2g} of the spread"
            if part.mean_error > tolerance.mean_error:
                return f"the mean error of its {name} is {part.mean_error:.2g} of the spread"
        if self.pipeline is not None and self.pipeline.psnr < tolerance.pipeline_psnr:
            return f"its pictures are {self.pipeline.psnr:.1f} dB from torch's"
        return ""
