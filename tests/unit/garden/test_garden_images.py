"""Image models in the garden: a pipeline saved by diffusers is a model of the user's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bestiary.errors import GardenError
from bestiary.garden import Garden
from bestiary.garden.card import Source, WeightsFormat
from bestiary.garden.file_kinds import is_wanted
from bestiary.garden.tasks import Task, tasks_of
from bestiary.schemas.image import Sampler
from tests.unit.image import small_pipelines


def test_a_folder_of_ones_own_becomes_a_card(tmp_path: Path) -> None:
    folder = tmp_path / "my-pictures"
    small_pipelines.in_latents(folder)
    garden = Garden(tmp_path / "home")
    card = garden.add(folder)
    assert card.image is not None
    assert (card.id, card.image.width, card.context_length) == (
        "my-pictures",
        small_pipelines.SIDE,
        small_pipelines.TOKENS,
    )
    assert Task.TEXT_TO_IMAGE in tasks_of(card)
    assert card.image.denoising.sampler is Sampler.DPM_SOLVER
    assert (garden.installed("my-pictures").path / "unet" / "config.json").is_file()


def test_a_folder_with_pickles_only_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "pickles"
    small_pipelines.unconditional(folder)
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(GardenError, match="pickles"):
        Garden(tmp_path / "home").add(folder)


def test_a_pipeline_without_a_scheduler_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "no-scheduler"
    small_pipelines.unconditional(folder)
    (folder / "scheduler" / "scheduler_config.json").unlink()
    with pytest.raises(GardenError, match="scheduler"):
        Garden(tmp_path / "home").add(folder)


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("model_index.json", True),
        ("unet/diffusion_pytorch_model.safetensors", True),
        ("tokenizer/vocab.json", True),
        ("unet/diffusion_pytorch_model.fp16.safetensors", False),
        ("v1-5-pruned-emaonly.safetensors", False),
        ("safety_checker/model.safetensors", False),
        ("unet/diffusion_pytorch_model.bin", False),
    ],
)
def test_of_a_hubs_repository_only_what_is_served_is_fetched(path: str, wanted: bool) -> None:
    source = Source(url="hf://some/one", format=WeightsFormat.DIFFUSERS)
    assert is_wanted(path, source) is wanted


def test_an_index_that_is_no_json_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "model_index.json").write_text(json.dumps([]), encoding="utf-8")
    with pytest.raises(GardenError, match="not a JSON object"):
        Garden(tmp_path / "home").add(folder)
