"""The parity certificate of an encoder's build: what it lost against torch, and how fast it is.

Only the record and what is tolerated of it; `deployments/kernels/encoder_certify.py` measures,
and keeps it beside the build.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from bestiary.garden.card import SHA256
from bestiary.garden.encoder_tolerance import EncoderTolerance
from bestiary.schemas.base import Frozen


class HeadParity(Frozen):
    """Logits of one head against torch in float32, on the certificate's text."""

    rows: int  # texts, pairs or tokens
    max_error: float  # of a logit, absolute
    mean_shift: float  # total variation between the probabilities, 0..1, mean over rows
    top1: float  # share of rows with the same first choice


class EncoderParity(Frozen):
    """Errors are 1 - cosine, between embeddings as the model itself pools them."""

    mean_cosine_error: float
    max_cosine_error: float
    heads: dict[str, HeadParity] = {}

    def exceeds(self, tolerance: EncoderTolerance) -> str:
        """What of it is outside, or nothing."""
        if self.mean_cosine_error > tolerance.mean_cosine_error:
            return f"its mean cosine error is {self.mean_cosine_error:.5f}"
        if self.max_cosine_error > tolerance.max_cosine_error:
            return f"its largest cosine error is {self.max_cosine_error:.5f}"
        for name, head in self.heads.items():
            if head.mean_shift > tolerance.head_shift:
                return f"its {name} move by {head.mean_shift:.4f} of probability"
        return ""


class EncoderSpeed(Frozen):
    """Sentences per second of the certificate's text, median of some rounds, on a machine that
    may have had other work."""

    batch_1: float
    batch_32: float


class EncoderCertificate(Frozen):
    """`certificate.json`, beside a build's graph."""

    format: int
    card: str
    revision: str  # of the weights
    precision: str
    text_sha256: Annotated[str, Field(pattern=SHA256)]
    sentences: int  # of the text
    parity: EncoderParity | None  # None: see `not_certified`
    speed: EncoderSpeed | None
    not_certified: str = ""  # why there is no parity
    bytes: int  # of the build's files
    versions: dict[str, str]  # of the libraries that measured
    cpu: str
    provider: str  # ONNX Runtime's execution provider
    host: str
    made_at: str  # ISO 8601, UTC


class CertifiedEncoder(Frozen):
    """One build that exists, for people to look at."""

    precision: str
    bytes: int
    certificate: EncoderCertificate | None  # None: nobody has measured it yet
