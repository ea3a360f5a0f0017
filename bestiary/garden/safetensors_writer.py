"""Safetensors files written one tensor at a time, so that a model need not fit into memory.

Format: https://github.com/huggingface/safetensors#format. Float32 only.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

MAX_SHARD = 5 * 10**9  # bytes, as transformers cuts them
ITEM = 4  # bytes of a float32
_ALIGNMENT = 8  # bytes; the data starts at a multiple of it

Float32 = npt.NDArray[np.float32]
Shapes = Mapping[str, tuple[int, ...]]


def write_float32(
    folder: Path,
    shapes: Shapes,
    values: Callable[[str], Float32],
    *,
    max_shard: int = MAX_SHARD,
) -> None:
    """Writes `model.safetensors`, or shards and `model.safetensors.index.json`.

    Calls `values(name)` once per tensor, in order, and keeps none. Raises ValueError where
    an array has not the shape announced for it.
    """
    shards = list(_shards(shapes, max_shard))
    placed: dict[str, str] = {}
    for number, names in enumerate(shards, start=1):
        one = len(shards) == 1
        file = f"model-{number:05}-of-{len(shards):05}.safetensors" if not one else _WHOLE
        _write(folder / file, {name: shapes[name] for name in names}, values)
        placed |= dict.fromkeys(names, file)
    if len(shards) > 1:
        total = sum(math.prod(shape) * ITEM for shape in shapes.values())
        index = {"metadata": {"total_size": total}, "weight_map": placed}
        text = json.dumps(index, indent=2, sort_keys=True)
        (folder / "model.safetensors.index.json").write_text(text + "\n", "utf-8")


_WHOLE = "model.safetensors"


def _shards(shapes: Shapes, max_shard: int) -> Iterator[list[str]]:
    shard: list[str] = []
    size = 0
    for name, shape in shapes.items():
        added = math.prod(shape) * ITEM
        if shard and size + added > max_shard:
            yield shard
            shard, size = [], 0
        shard.append(name)
        size += added
    yield shard


def _write(path: Path, shapes: Shapes, values: Callable[[str], Float32]) -> None:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + math.prod(shape) * ITEM
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
    packed = json.dumps(header, separators=(",", ":")).encode()
    packed += b" " * (-len(packed) % _ALIGNMENT)
    with path.open("wb") as file:
        file.write(len(packed).to_bytes(8, "little"))
        file.write(packed)
        for name, shape in shapes.items():
            array = np.ascontiguousarray(values(name), dtype="<f4")
            if array.shape != shape:
                raise ValueError(f"{name} has the shape {array.shape}, not {shape}")
            file.write(array.data)
