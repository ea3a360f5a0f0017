"""The products of a graph that adapters can change, as the graph's metadata keeps them.

Knows names and widths only: no ONNX, no file of an adapter.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from deployments.kernels.decoder_names import ADAPTERS

Parts = tuple[tuple[str, int], ...]  # module's name in transformers, and how wide its output is


@dataclass(frozen=True, slots=True)
class Target:
    """One product. Modules that read the same input may be stacked in it, as q, k and v are."""

    name: str
    width: int  # of the input
    parts: Parts

    @property
    def down(self) -> str:
        """The graph's input, a slot [parts * rank, width]: LoRA's A, part after part."""
        return f"{ADAPTERS}.{self.name}.down"

    @property
    def up(self) -> str:
        """The graph's input, a slot [parts * rank, out]: LoRA's B, transposed, a block a part."""
        return f"{ADAPTERS}.{self.name}.up"

    @property
    def out(self) -> int:
        return sum(rows for _, rows in self.parts)


def targets_to_text(targets: Iterable[Target]) -> str:
    return json.dumps([[target.name, target.width, target.parts] for target in targets])


def targets_from_text(text: str) -> tuple[Target, ...]:
    return tuple(
        Target(name, width, tuple((module, rows) for module, rows in parts))
        for name, width, parts in json.loads(text)
    )
