"""ncnn's two files become safetensors that draw the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import conv2d, interpolate, leaky_relu

from bestiary.errors import GardenError
from bestiary.garden.ncnn_upscaler import HALVES, SINGLES, convert_upscaler
from bestiary.progress import Silent
from deployments.kernels.image_rrdb import parts

WIDE, GROWN = 4, 2  # channels, of the network and of a dense block's layers
SHAPES = [
    (WIDE, 3),
    *([(GROWN, WIDE + GROWN * i) for i in range(4)] + [(WIDE, WIDE + 4 * GROWN)]) * 3,
    *[(WIDE, WIDE)] * 4,
    (3, WIDE),
]


def weights() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Such as half precision holds exactly."""
    torch.manual_seed(0)
    return [
        ((torch.randn(out, given, 3, 3) * 0.2).half().float(), torch.randn(out) * 0.1)
        for out, given in SHAPES
    ]


def written(folder: Path, flag: int = HALVES) -> tuple[Path, Path]:
    convolutions = [
        f"Convolution conv_{i} 1 1 a b 0={out} 1=3 4=1 5=1 6={out * given * 9}"
        for i, (out, given) in enumerate(SHAPES)
    ]
    others = ["Concat c 2 1 a b c"] * 12 + ["Eltwise e 2 1 a b c"] * 4 + ["Interp i 1 1 a b"] * 2
    lines = [
        "7767517",
        "40 50",
        "Input in 0 1 data",
        *convolutions,
        *others,
        "BinaryOp b 2 1 a b c",
    ]
    (folder / "small.param").write_text("\n".join(lines) + "\n")
    data = b""
    for weight, bias in weights():
        stored = weight.numpy().astype("<f2" if flag == HALVES else "<f4").tobytes()
        data += np.uint32(flag).tobytes() + stored + b"\0" * (-len(stored) % 4)
        data += bias.numpy().astype("<f4").tobytes()
    (folder / "small.bin").write_bytes(data)
    return folder / "small.param", folder / "small.bin"


def plain(low: torch.Tensor) -> torch.Tensor:
    """ESRGAN's generator as its paper draws it, with one block."""
    layers = iter([lambda x, w=w, b=b: conv2d(x, w, b, padding=1) for w, b in weights()])
    first = next(layers)((low + 1) / 2)
    block = first
    for _ in range(3):
        seen = block
        for _ in range(4):
            seen = torch.cat((seen, leaky_relu(next(layers)(seen), 0.2)), 1)
        block = block + 0.2 * next(layers)(seen)
    values = first + next(layers)(first + 0.2 * block)
    for _ in range(2):
        values = leaky_relu(next(layers)(interpolate(values, scale_factor=2.0)), 0.2)
    values = leaky_relu(next(layers)(values), 0.2)
    return (next(layers)(values) * 2 - 1).clamp(-1, 1)


@pytest.mark.parametrize("flag", [HALVES, SINGLES])
def test_it_draws_what_the_paper_does(tmp_path, flag):
    staged = tmp_path / "staged"
    staged.mkdir()
    convert_upscaler(*written(tmp_path, flag), staged, Silent())
    (part,) = parts(staged)
    low = torch.rand(2, 3, 5, 7) * 2 - 1
    with torch.no_grad():
        made, expected = part.module(low), plain(low)
    assert made.shape == (2, 3, 20, 28)
    assert expected.std() > 0.01
    assert (made - expected).abs().max() < 1e-5


def test_another_network_or_a_cut_file_is_refused(tmp_path):
    param, binary = written(tmp_path)
    whole, network = binary.read_bytes(), param.read_text()
    for data in (whole[:-4], whole + b"\0" * 4, b"\1" + whole[1:]):
        binary.write_bytes(data)
        with pytest.raises(GardenError):
            convert_upscaler(param, binary, tmp_path, Silent())
    binary.write_bytes(whole)
    for text in ("", network.replace("Concat", "Split", 1), network.replace("6=", "7=")):
        param.write_text(text)
        with pytest.raises(GardenError):
            convert_upscaler(param, binary, tmp_path, Silent())
