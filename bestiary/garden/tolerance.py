"""How far an optimised build of a model may be from float32 before it is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from bestiary.schemas.base import Frozen

# What a decoder can be kept in; docs/decisions/0003-precisions.md says which is for what.
DecodePrecision = Literal["fp32", "fp16", "bf16", "int8", "q41fast", "w8a16", "w8row", "int4"]
# What a graph may be kept in that reads prompts for it: bf16mix does nothing else.
Precision = Literal[DecodePrecision, "bf16mix"]


class Tolerance(Frozen):
    """Against torch in float32, on the certificate's text, every token predicted from the true
    ones before it."""

    max_kl: Annotated[
        float, Field(ge=0, description="mean Kullback-Leibler divergence, in nats per token")
    ]
    min_top1: Annotated[
        float, Field(ge=0, le=1, description="share of tokens with the same first choice")
    ]


# Of what should not be noticed. `w8row` and `int4` are lossy: a card has to say how lossy.
DEFAULT_TOLERANCES: Mapping[str, Tolerance] = {
    "fp32": Tolerance(max_kl=1e-4, min_top1=0.99),
    "fp16": Tolerance(max_kl=1e-3, min_top1=0.97),
    "bf16": Tolerance(max_kl=1e-2, min_top1=0.93),
    "bf16mix": Tolerance(max_kl=1e-2, min_top1=0.93),
    "int8": Tolerance(max_kl=2e-2, min_top1=0.9),
    "q41fast": Tolerance(max_kl=2e-2, min_top1=0.9),
    "w8a16": Tolerance(max_kl=2e-2, min_top1=0.9),
}
