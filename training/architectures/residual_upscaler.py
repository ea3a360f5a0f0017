"""A feed-forward 4x upscaler: residual convolutions at the low resolution, then pixel shuffle.

EDSR's design (arXiv:1707.02921), small, over bicubic interpolation: the network adds what bicubic
lacks. Fully convolutional: any size. Knows tensors and its own two files.

    body(x) = first(x) + blocks(first(x))        C channels, at the low resolution
    output = clamp(bicubic(x) + shuffle(last(body(x))), -1, 1)

`config.json`: channels C, blocks, factor. State dict: `first` [C, 3, 3, 3], `blocks.i.0` and
`blocks.i.2` [C, C, 3, 3] with a ReLU between and a residual around, `last` [3 factor^2, C, 3, 3].
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

ARCHITECTURE, MODEL_TYPE = "ResidualUpscaler", "residual-upscaler"


@dataclass(frozen=True)
class UpscalerConfig:
    channels: int = 40
    blocks: int = 6
    factor: int = 4


class ResidualUpscaler(nn.Module):  # type: ignore[misc]  # torch is not followed
    """[B, 3, H, W] in [-1, 1] -> [B, 3, 4H, 4W] in [-1, 1]."""

    def __init__(self, config: UpscalerConfig) -> None:
        super().__init__()
        self.config = config
        width = config.channels
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, width, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(width, width, 3, padding=1),
            )
            for _ in range(config.blocks)
        )
        self.last = nn.Conv2d(width, 3 * config.factor**2, 3, padding=1)
        nn.init.zeros_(self.last.weight)  # it begins as bicubic
        nn.init.zeros_(self.last.bias)

    def forward(self, low: Tensor) -> Tensor:
        return self.unclamped(low).clamp(-1, 1)

    def unclamped(self, low: Tensor) -> Tensor:
        """What training sees: clamping has no gradient outside."""
        first = self.first(low)
        values = first
        for block in self.blocks:
            values = values + block(values)
        added = nn.functional.pixel_shuffle(self.last(first + values), self.config.factor)
        return upsampled(low, self.config.factor) + added

    def save_pretrained(self, folder: Path, dtype: torch.dtype = torch.float32) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {
            name: value.detach().to(dtype).contiguous() for name, value in self.state_dict().items()
        }
        save_file(tensors, folder / "model.safetensors")
        written = {"architectures": [ARCHITECTURE], "model_type": MODEL_TYPE}
        text = json.dumps(written | asdict(self.config), indent=2)
        (folder / "config.json").write_text(text + "\n", encoding="utf-8")

    @classmethod
    def from_pretrained(cls, folder: Path) -> ResidualUpscaler:
        """In float32 and for inference, whatever the file keeps."""
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        model: ResidualUpscaler = cls(read_upscaler_config(values))
        tensors = load_file(folder / "model.safetensors")
        model.load_state_dict({name: value.float() for name, value in tensors.items()})
        model.eval()
        return model


def upsampled(low: Tensor, factor: int) -> Tensor:
    """Bicubic (torch's, a = -0.75, pixel centres aligned), unclamped."""
    return nn.functional.interpolate(
        low, scale_factor=float(factor), mode="bicubic", align_corners=False
    )


def downsampled(high: Tensor, factor: int) -> Tensor:
    """Bicubic with antialiasing, as PIL does it: what the low resolution is made by."""
    size = (high.shape[-2] // factor, high.shape[-1] // factor)
    low = nn.functional.interpolate(
        high, size=size, mode="bicubic", antialias=True, align_corners=False
    )
    return low.clamp(-1, 1)


def read_upscaler_config(values: Mapping[str, object]) -> UpscalerConfig:
    """Of a `config.json`. Raises ValueError for another architecture."""
    if values.get("architectures") != [ARCHITECTURE]:
        raise ValueError(f"{values.get('architectures')} is not [{ARCHITECTURE!r}]")
    known = {field.name for field in fields(UpscalerConfig)}
    return UpscalerConfig(**{name: value for name, value in values.items() if name in known})  # type: ignore[arg-type]  # JSON
