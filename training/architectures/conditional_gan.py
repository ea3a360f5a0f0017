"""A class-conditional GAN for small pictures: a generator, and a discriminator that is kept too.

The generator grows `base_size` squared to `image_size` squared, a convolution and a norm per
doubling, the norm scaled and shifted by the class. The discriminator mirrors it without norms and
judges the class by projection (arXiv:1802.05637); it sees one picture at a time, so a score does
not depend on what else is in a batch. Knows tensors and its own three files; no training.

`config.json`:

    image_size, channels    of the pictures, float in [-1, 1]
    classes                 their names, in the order of the labels
    latent_size             of the noise, standard normal
    base_size               where the generator begins, pixels a side
    widths                  channels at base_size, 2 base_size, .. image_size
    score_scale, score_bias probability of being real = sigmoid(scale * logit + bias), fitted on
                            held-out pictures

`generator.safetensors`, with Z latent_size, K classes, W widths, B base_size:

    embedding.weight        [K, Z]; joined to the noise, and what the norms see
    first.weight, .bias     [W0 B B, 2Z], reshaped to [W0, B, B]
    blocks.i.convolution    [W(i), W(i-1), 3, 3] (i = 0: W0 to W0), after doubling by repetition
                            (not before block 0)
    blocks.i.style          Linear(2Z, 2 W(i)): (1 + scale) and shift of a norm over the channel
                            groups of 8, then SiLU
    last                    [channels, W(-1), 3, 3], then tanh

`discriminator.safetensors`:

    first                   [W(-1), channels, 3, 3]
    blocks.i.convolutions   two of [., ., 3, 3], leaky ReLU 0.2 after each, then the mean of 2x2
                            (not after the last block)
    judge.weight, .bias     [1, W0 B B]
    embedding.weight        [K, W0 B B]: its product with the same features is added
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

ARCHITECTURE, MODEL_TYPE = "ConditionalGan", "conditional-gan"
GROUP = 8  # channels of a norm's group


@dataclass(frozen=True)
class GanConfig:
    image_size: int
    channels: int
    classes: tuple[str, ...]
    latent_size: int
    base_size: int
    widths: tuple[int, ...]
    score_scale: float = 1.0
    score_bias: float = 0.0

    def __post_init__(self) -> None:
        if self.base_size * 2 ** (len(self.widths) - 1) != self.image_size:
            raise ValueError("base_size has to double to image_size in len(widths) - 1 steps")


class Generator(nn.Module):  # type: ignore[misc]  # torch is not followed
    def __init__(self, config: GanConfig) -> None:
        super().__init__()
        self.config = config
        told = 2 * config.latent_size
        self.embedding = nn.Embedding(len(config.classes), config.latent_size)
        self.first = nn.Linear(told, config.widths[0] * config.base_size**2)
        pairs = zip((config.widths[0], *config.widths), config.widths, strict=False)
        self.blocks = nn.ModuleList(_Growing(narrow, wide, told) for narrow, wide in pairs)
        self.last = nn.Conv2d(config.widths[-1], config.channels, 3, padding=1)

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        """Noise [B, Z] and classes int64 [B] -> pictures [B, C, S, S] in [-1, 1]."""
        return self.of_vectors(noise, self.embedding(labels))

    def of_vectors(self, noise: Tensor, classes: Tensor) -> Tensor:
        """The same for class vectors [B, Z], so that one can go from class to class."""
        told = torch.cat((noise, nn.functional.normalize(classes, dim=-1)), -1)
        base = self.config.base_size
        values = self.first(told).reshape(len(noise), -1, base, base)
        for place, block in enumerate(self.blocks):
            if place:
                values = nn.functional.interpolate(values, scale_factor=2.0, mode="nearest")
            values = block(values, told)
        return torch.tanh(self.last(values))


class Discriminator(nn.Module):  # type: ignore[misc]  # torch is not followed
    def __init__(self, config: GanConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths[::-1]
        self.first = nn.Conv2d(config.channels, widths[0], 3, padding=1)
        pairs = zip((widths[0], *widths), widths, strict=False)
        self.blocks = nn.ModuleList(_Judging(before, after) for before, after in pairs)
        features = widths[-1] * config.base_size**2
        self.judge = nn.Linear(features, 1)
        self.embedding = nn.Embedding(len(config.classes), features)
        nn.init.normal_(self.embedding.weight, std=features**-0.5)

    def forward(self, pictures: Tensor, labels: Tensor) -> Tensor:
        """Pictures [B, C, S, S] and the classes they are said to be of -> logits [B]."""
        features = self.features(pictures)
        logits: Tensor = self.judge(features)[:, 0]
        return logits + (features * self.embedding(labels)).sum(-1)

    def features(self, pictures: Tensor) -> Tensor:
        values = self.first(pictures)
        for place, block in enumerate(self.blocks):
            values = block(values)
            if place < len(self.blocks) - 1:
                values = nn.functional.avg_pool2d(values, 2)
        return values.flatten(1)


class ConditionalGan(nn.Module):  # type: ignore[misc]  # torch is not followed
    def __init__(self, config: GanConfig) -> None:
        super().__init__()
        self.config = config
        self.generator = Generator(config)
        self.discriminator = Discriminator(config)

    def save_pretrained(
        self, folder: Path, config: GanConfig, dtype: torch.dtype = torch.float32
    ) -> None:
        """`config` may say more than the model's own: its calibration."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("generator", "discriminator"):
            state = getattr(self, name).state_dict()
            tensors = {key: value.detach().to(dtype).contiguous() for key, value in state.items()}
            save_file(tensors, folder / f"{name}.safetensors")
        written = {"architectures": [ARCHITECTURE], "model_type": MODEL_TYPE}
        text = json.dumps(written | asdict(config), indent=2)
        (folder / "config.json").write_text(text + "\n", encoding="utf-8")

    @classmethod
    def from_pretrained(cls, folder: Path) -> ConditionalGan:
        """In float32 and for inference, whatever the files keep."""
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        model: ConditionalGan = cls(read_gan_config(values))
        for name in ("generator", "discriminator"):
            tensors = load_file(folder / f"{name}.safetensors")
            state = {key: value.float() for key, value in tensors.items()}
            getattr(model, name).load_state_dict(state)
        model.eval()
        return model


class _Growing(nn.Module):  # type: ignore[misc]  # torch is not followed
    def __init__(self, narrow: int, wide: int, told: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(narrow, wide, 3, padding=1)
        self.norm = nn.GroupNorm(wide // GROUP, wide, affine=False)
        self.style = nn.Linear(told, 2 * wide)

    def forward(self, values: Tensor, told: Tensor) -> Tensor:
        scale, shift = self.style(told)[..., None, None].chunk(2, 1)
        normed = self.norm(self.convolution(values))
        return nn.functional.silu(normed * (1 + scale) + shift)


class _Judging(nn.Module):  # type: ignore[misc]  # torch is not followed
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            (nn.Conv2d(before, after, 3, padding=1), nn.Conv2d(after, after, 3, padding=1))
        )

    def forward(self, values: Tensor) -> Tensor:
        for convolution in self.convolutions:
            values = nn.functional.leaky_relu(convolution(values), 0.2)
        return values


def read_gan_config(values: Mapping[str, object]) -> GanConfig:
    """Of a `config.json`. Raises ValueError for another architecture, TypeError for a torso."""
    if values.get("architectures") != [ARCHITECTURE]:
        raise ValueError(f"{values.get('architectures')} is not [{ARCHITECTURE!r}]")
    known = {field.name for field in fields(GanConfig)}
    found = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items()
        if name in known
    }
    return GanConfig(**found)  # type: ignore[arg-type]  # JSON
