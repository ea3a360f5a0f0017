"""A small convolutional network that puts a picture into the space of a sentence encoder.

The vector of a picture lies near the vectors of what one would say of it, so that pictures can be
found by words and captions be judged. `config.json` beside `model.safetensors`, as
`from_pretrained` reads them. Knows no sentence encoder: the vectors come from outside.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

ARCHITECTURE, MODEL_TYPE = "ImageEmbedder", "image-embedder"


@dataclass(frozen=True)
class ImageEmbedderConfig:
    image_size: int = 32  # pixels a side
    channels: int = 3
    widths: tuple[int, ...] = (32, 64, 96, 128)  # of the stages; each but the first halves
    feature_size: int = 128  # before the projection: what a Frechet distance is taken on
    embedding_size: int = 384
    groups: int = 8  # of the norms


class ImageEmbedder(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Pictures float [B, 3, S, S] in [-1, 1] -> unit vectors [B, E]."""

    def __init__(self, config: ImageEmbedderConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = nn.Conv2d(config.channels, config.widths[0], 3, padding=1)
        stages: list[nn.Module] = [_Block(config.widths[0], config.groups)]
        for narrow, wide in zip(config.widths, config.widths[1:], strict=False):
            stages += [nn.Conv2d(narrow, wide, 3, stride=2, padding=1), _Block(wide, config.groups)]
        self.stages = nn.Sequential(*stages)
        self.features_out = nn.Linear(2 * config.widths[-1], config.feature_size)
        self.projection = nn.Linear(config.feature_size, config.embedding_size)

    def features(self, pictures: Tensor) -> Tensor:
        """[B, F]: the mean and the maximum over all places, through one layer."""
        found = self.stages(self.stem(pictures)).flatten(2)
        pooled = torch.cat((found.mean(-1), found.amax(-1)), -1)
        features: Tensor = nn.functional.silu(self.features_out(pooled))
        return features

    def forward(self, pictures: Tensor) -> Tensor:
        return nn.functional.normalize(self.projection(self.features(pictures)), dim=-1)

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
    def from_pretrained(cls, folder: Path) -> ImageEmbedder:
        """In float32 and for inference, whatever the file keeps."""
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        model: ImageEmbedder = cls(read_embedder_config(values))
        tensors = load_file(folder / "model.safetensors")
        model.load_state_dict({name: value.float() for name, value in tensors.items()})
        model.eval()
        return model


class _Block(nn.Module):  # type: ignore[misc]  # torch is not followed
    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(groups, width) for _ in range(2))
        self.convolutions = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(2))

    def forward(self, values: Tensor) -> Tensor:
        changed = values
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            changed = convolution(nn.functional.silu(norm(changed)))
        return values + changed


def read_embedder_config(values: Mapping[str, object]) -> ImageEmbedderConfig:
    """Of a `config.json`. Raises ValueError for another architecture."""
    if values.get("architectures") != [ARCHITECTURE]:
        raise ValueError(f"{values.get('architectures')} is not [{ARCHITECTURE!r}]")
    known = {field.name for field in fields(ImageEmbedderConfig)}
    found = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items()
        if name in known
    }
    return ImageEmbedderConfig(**found)  # type: ignore[arg-type]  # JSON
