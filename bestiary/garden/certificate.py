"""The parity certificate of one build: what it lost against torch, and how fast it is here.

Only the record; `deployments/kernels/certify.py` measures, and keeps it beside the build.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from bestiary.garden.card import SHA256
from bestiary.schemas.base import Frozen


class Parity(Frozen):
    """Against torch in float32, every token predicted from the true ones before it."""

    kl: float  # nats per token, mean
    top1: float  # share of tokens with the same first choice
    perplexity: float
    reference_perplexity: float


class Speed(Frozen):
    """Tokens per second, the median of some rounds, on a machine that may have had other work."""

    decode_1: float | None  # one row, one token a step; None: it only reads prompts
    decode_16: float | None  # sixteen rows together
    prefill: float  # one prompt


class Certificate(Frozen):
    """`certificate.json`, beside a build's graph."""

    format: int
    card: str
    revision: str  # of the weights
    precision: str
    text_sha256: Annotated[str, Field(pattern=SHA256)]
    tokens: int  # of the text, as this model's tokenizer cuts it
    parity: Parity | None  # None: see `not_certified`
    speed: Speed | None
    not_certified: str = ""  # why there is no parity
    bytes: int  # of the build's files
    versions: dict[str, str]  # of the libraries that measured
    cpu: str
    provider: str  # ONNX Runtime's execution provider
    made_at: str  # ISO 8601, UTC


class CertifiedBuild(Frozen):
    """One build that exists, for people to look at."""

    precision: str
    options: dict[str, str]
    bytes: int
    certificate: Certificate | None  # None: nobody has measured it yet
