"""A pickled DCGAN generator becomes safetensors, and nothing in it is run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch import nn

from bestiary.errors import GardenError
from bestiary.garden.card import ModelCard
from bestiary.garden.torch_generator import convert_generator
from bestiary.progress import Silent
from deployments.kernels.image_dcgan import parts

LATENT = 5


def generator(given: int) -> nn.Sequential:
    """As PyTorch's tutorial lays one out, its norms with statistics of their own."""
    torch.manual_seed(0)
    made = nn.Sequential(
        nn.ConvTranspose2d(given, 8, 4, 1, 0, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.ConvTranspose2d(8, 6, 4, 2, 1, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.ConvTranspose2d(6, 3, 4, 2, 1, bias=False),
        nn.Tanh(),
    )
    with torch.no_grad():
        for weight in made.parameters():
            weight *= 4
    for _ in range(20):
        made(torch.randn(16, given, 1, 1) * 3)
    return made.eval()


def card(classes: tuple[str, ...] = (), latent: int = LATENT) -> ModelCard:
    return ModelCard.model_validate(
        {
            "id": "small",
            "family": "image",
            "architecture": "DcganGenerator",
            "title": "small",
            "parameters": 1,
            "license": "none",
            "provenance": "random",
            "sources": [{"url": "file:///nowhere", "format": "torch"}],
            "image": {
                "family": "gan",
                "width": 16,
                "height": 16,
                "latent_shape": [latent],
                "classes": list(classes),
            },
        }
    )


def saved(state: object, folder: Path) -> Path:
    torch.save(state, folder / "weights.tar")
    return folder / "weights.tar"


@pytest.mark.parametrize("nested", [False, True])
def test_what_it_draws_is_what_the_original_draws(tmp_path, nested):
    plain = generator(LATENT)
    state = {f"main.{name}": value for name, value in plain.state_dict().items()}
    path = saved({"netG_state_dict": state} if nested else state, tmp_path)
    staged = tmp_path / "staged"
    staged.mkdir()
    convert_generator(path, card(), staged, Silent())
    (part,) = parts(staged)
    noise = torch.randn(3, LATENT)
    with torch.no_grad():
        made, expected = part.module(noise), plain(noise[..., None, None])
    assert made.shape == (3, 3, 16, 16)
    assert expected.std() > 0.05
    assert (made - expected).abs().max() < 1e-4
    assert sorted(one.name for one in staged.iterdir()) == ["config.json", "model.safetensors"]


def test_classes_are_joined_to_the_latent(tmp_path):
    plain = generator(LATENT + 2)
    staged = tmp_path / "staged"
    staged.mkdir()
    convert_generator(saved(plain.state_dict(), tmp_path), card(("a", "b")), staged, Silent())
    (part,) = parts(staged)
    noise = torch.randn(2, LATENT)
    told = torch.cat((noise, torch.tensor([[0.0, 1.0], [1.0, 0.0]])), 1)
    with torch.no_grad():
        made, expected = part.module(noise, torch.tensor([1, 0])), plain(told[..., None, None])
    assert (made - expected).abs().max() < 1e-4


class Trap:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self._path),)


def test_code_in_the_file_is_not_run(tmp_path):
    sprung = tmp_path / "sprung"
    path = saved({"main.0.weight": Trap(sprung)}, tmp_path)
    with pytest.raises(GardenError, match="safe to open"):
        convert_generator(path, card(), tmp_path, Silent())
    assert not sprung.exists()


@pytest.mark.parametrize(
    "state",
    [
        {"main.0.weight": torch.zeros(5, 5)},
        {"one": {}, "two": {}},
        generator(LATENT + 1).state_dict(),
    ],
    ids=["no convolutions", "two dicts", "another latent"],
)
def test_anything_else_is_refused(tmp_path, state):
    with pytest.raises(GardenError):
        convert_generator(saved(state, tmp_path), card(), tmp_path, Silent())
