"""Text-to-image models learn a style from captioned pictures, resume, and are themselves again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bestiary.errors import (
    CardNotInstalled,
    ImageUnreadable,
    InvalidRequest,
    UnsupportedParameter,
)
from bestiary.garden.installed import InstalledModel
from bestiary.schemas.tuning import Lora, PublishedKind
from services.tuning.data.examples import CaptionedImage
from services.tuning.trainers.image.opening import open_text_to_image
from services.tuning.trainers.image.pictures import pixels_of
from services.tuning.trainers.image.tuner import TextToImageTuner
from tests.unit.image import small_pipelines
from tests.unit.tuning.small_text_to_image import (
    assignment,
    pictures,
    read_by_an_encoder,
    trained,
)


@pytest.fixture(scope="module")
def with_clip(tmp_path_factory: pytest.TempPathFactory) -> InstalledModel:
    return small_pipelines.in_latents(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def with_encoder(tmp_path_factory: pytest.TempPathFactory) -> tuple[InstalledModel, InstalledModel]:
    return read_by_an_encoder(tmp_path_factory.mktemp("encoder"))


def adapter_of(tuner: TextToImageTuner) -> dict[str, torch.Tensor]:
    return {
        name: one.detach().clone()
        for name, one in tuner.trainee.model.named_parameters()
        if one.requires_grad
    }


def test_held_out_pictures_are_guessed_better_after_it(
    with_clip: InstalledModel, tmp_path: Path
) -> None:
    tuner = trained(assignment(with_clip, tmp_path), 12)
    with tuner.as_base():
        base = tuner.evaluate()
    tuned = tuner.evaluate()
    assert tuned["loss"] < 0.8 * base["loss"]
    assert tuned["style_likeness"] > base["style_likeness"]
    assert tuner.evaluate() == tuned
    assert tuner.general() is None
    assert tuner.kind is PublishedKind.MODEL


def test_prompts_may_be_read_by_another_card(
    with_encoder: tuple[InstalledModel, InstalledModel], tmp_path: Path
) -> None:
    base, reader = with_encoder
    tuner = trained(assignment(base, tmp_path, beside=reader), 6)
    with tuner.as_base():
        before = tuner.evaluate()
    assert tuner.evaluate()["loss"] < before["loss"]


def test_the_encoder_that_reads_prompts_has_to_be_there(
    with_encoder: tuple[InstalledModel, InstalledModel], tmp_path: Path
) -> None:
    with pytest.raises(CardNotInstalled, match="small-reader"):
        open_text_to_image(assignment(with_encoder[0], tmp_path))


def test_a_run_that_was_interrupted_ends_in_the_same_adapter(
    with_clip: InstalledModel, tmp_path: Path
) -> None:
    whole = trained(assignment(with_clip, tmp_path / "whole"), 5)
    trained(assignment(with_clip, tmp_path / "broken"), 5, until=3)
    resumed = trained(assignment(with_clip, tmp_path / "broken"), 5, resume=True)
    expected = adapter_of(whole)
    for name, one in adapter_of(resumed).items():
        assert torch.equal(one, expected[name]), name


def test_latents_are_worked_out_once(with_clip: InstalledModel, tmp_path: Path) -> None:
    one = assignment(with_clip, tmp_path)
    open_text_to_image(one)
    parts = {part: part.stat().st_mtime_ns for part in (tmp_path / "latents").iterdir()}
    open_text_to_image(one)
    assert parts == {part: part.stat().st_mtime_ns for part in (tmp_path / "latents").iterdir()}
    assert {part.suffix for part in parts} == {".safetensors"}


def test_an_epoch_has_each_picture_once(with_clip: InstalledModel, tmp_path: Path) -> None:
    tuner = open_text_to_image(assignment(with_clip, tmp_path, training=pictures(6)))
    assert sorted((tuner.trainee.pictures_in(0), tuner.trainee.pictures_in(1))) == [2, 4]  # type: ignore[attr-defined]


def test_only_the_named_layers_are_adapted(with_clip: InstalledModel, tmp_path: Path) -> None:
    tuner = open_text_to_image(
        assignment(with_clip, tmp_path, lora=Lora(rank=2, targets=("to_q", "to_v")))
    )
    assert all(".to_q." in name or ".to_v." in name for name in adapter_of(tuner))


def test_an_unknown_layer_is_refused_with_the_known_ones(
    with_clip: InstalledModel, tmp_path: Path
) -> None:
    with pytest.raises(InvalidRequest, match=r"q_proj; there are .*to_q"):
        open_text_to_image(assignment(with_clip, tmp_path, lora=Lora(targets=("q_proj",))))


def test_all_weights_are_not_tuned(with_clip: InstalledModel, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedParameter, match="adapter"):
        open_text_to_image(assignment(with_clip, tmp_path, full=True))


def test_a_model_without_prompts_is_no_base(tmp_path: Path) -> None:
    model = small_pipelines.unconditional(tmp_path / "base")
    with pytest.raises(UnsupportedParameter, match="no vae"):
        open_text_to_image(assignment(model, tmp_path))


def test_what_is_no_picture_is_named(with_clip: InstalledModel, tmp_path: Path) -> None:
    broken = [*pictures(2), CaptionedImage("torn.png", "a", b"\x89PNG no")]
    with pytest.raises(ImageUnreadable, match=r"torn\.png"):
        open_text_to_image(assignment(with_clip, tmp_path, training=broken))


def test_no_pictures_at_all_are_refused(with_clip: InstalledModel, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="zip"):
        open_text_to_image(assignment(with_clip, tmp_path, training=[]))


def test_a_larger_picture_is_cut_to_the_middle_and_scaled() -> None:
    [large] = pictures(1, size=64)
    found = pixels_of(large, 16, 12)
    assert found.shape == (3, 12, 16)
    assert -1 <= float(found.min()) < float(found.max()) <= 1
