"""An ESRGAN upscaler that was published for ncnn -> safetensors, converted once.

`<name>.param` lists the layers, `<name>.bin` holds their numbers in the same order: of each
convolution a flag, its weight in half or single precision, and its bias in single. Only the RRDB
network (arXiv:1809.00219) is taken; what comes out is its convolutions in their order:

    convolutions.i.weight [out, in, 3, 3], convolutions.i.bias [out]

https://github.com/Tencent/ncnn/wiki/param-and-model-file-structure
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bestiary.errors import GardenError
from bestiary.garden.safetensors_writer import Float32, write_float32
from bestiary.progress import Progress

ARCHITECTURE = "RrdbUpscaler"
MAGIC = "7767517"
HALVES, SINGLES = 0x01306B47, 0
KERNEL = 3  # places a side
FACTOR = 4
OF_A_BLOCK = 15  # convolutions: three dense blocks of five
BESIDE_BLOCKS = 6  # the first, the trunk's, two that double, two that end
ALIGNED = 4  # bytes


def convert_upscaler(param: Path, binary: Path, staged: Path, progress: Progress) -> None:
    """Writes config and weights. Raises GardenError for anything but an RRDB network of 4x."""
    with progress.step(f"Converting {param.stem} to safetensors"):
        layers = _layers(param)
        outputs = [_numbers(fields) for kind, fields in layers if kind == "Convolution"]
        blocks = _blocks(param, Counter(kind for kind, _ in layers), len(outputs))
        tensors = dict(_tensors(binary, outputs))
        shapes = {name: value.shape for name, value in tensors.items()}
        write_float32(staged, shapes, tensors.__getitem__)
        config = {"architectures": [ARCHITECTURE], "blocks": blocks, "factor": FACTOR}
        (staged / "config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")


def _layers(param: Path) -> list[tuple[str, list[str]]]:
    """Kind and `key=value` fields of each."""
    magic, *lines = param.read_text("utf-8", "replace").splitlines() or [""]
    if magic.strip() != MAGIC:
        raise GardenError(f"{param.name} is no ncnn network")
    split = [line.split() for line in lines[1:] if line.strip()]  # the first one counts
    return [(words[0], [word for word in words if "=" in word]) for words in split]


def _numbers(fields: list[str]) -> tuple[int, int]:
    """Output channels, and numbers of the weight."""
    keyed = dict(field.split("=", 1) for field in fields)
    try:
        return int(keyed["0"]), int(keyed["6"])
    except (KeyError, ValueError) as error:
        raise GardenError(f"a convolution does not say its size: {error}") from error


def _blocks(param: Path, kinds: Counter[str], convolutions: int) -> int:
    blocks = (convolutions - BESIDE_BLOCKS) // OF_A_BLOCK
    expected = {
        "Convolution": blocks * OF_A_BLOCK + BESIDE_BLOCKS,
        "Concat": blocks * 12,
        "Eltwise": blocks * 4,
        "BinaryOp": 1,
        "Interp": 2,
        "Input": 1,
    }
    if blocks < 1 or {kind: n for kind, n in kinds.items() if kind != "Split"} != expected:
        raise GardenError(f"{param.name} is no RRDB network of {FACTOR}x")
    return blocks


def _tensors(binary: Path, outputs: list[tuple[int, int]]) -> Iterator[tuple[str, Float32]]:
    data, place = binary.read_bytes(), 0
    for number, (channels, count) in enumerate(outputs):
        try:
            flag = int(np.frombuffer(data, "<u4", 1, place)[0])
            place += 4
            if flag not in (HALVES, SINGLES):
                raise GardenError(f"{binary.name} has weights of another kind, {flag:#x}")
            kind, size = ("<f2", 2) if flag == HALVES else ("<f4", 4)
            weight = np.frombuffer(data, kind, count, place).astype(np.float32)
            place += -(-count * size // ALIGNED) * ALIGNED
            bias = np.frombuffer(data, "<f4", channels, place).astype(np.float32)
            place += channels * 4
            shaped = weight.reshape(channels, -1, KERNEL, KERNEL)
        except ValueError as error:
            raise GardenError(f"{binary.name} is cut off, or of another network") from error
        yield f"convolutions.{number}.weight", shaped
        yield f"convolutions.{number}.bias", bias
    if place != len(data):
        raise GardenError(f"{binary.name} has {len(data)} bytes; its network has {place}")
