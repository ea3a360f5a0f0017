"""From an installed model to an open session."""

from __future__ import annotations

from pathlib import Path

import pytest

from bestiary.errors import KernelError
from bestiary.garden import InstalledModel
from bestiary.garden.card import Family, ModelCard, Source
from bestiary.profile.models import TextEngine
from bestiary.progress import Silent
from deployments.kernels.adapter_memory import AdapterLimits
from deployments.kernels.decoder import build_decoder_once, open_decoder
from tests.unit.kernels.conftest import SmallModel


@pytest.fixture
def installed(llama: SmallModel) -> InstalledModel:
    card = ModelCard(
        id="small",
        family=Family.TEXT,
        architecture="LlamaForCausalLM",
        title="Small",
        parameters=1,
        context_length=256,
        license="MIT",
        provenance="a test",
        sources=(Source(url="zoo://small"),),
    )
    return InstalledModel(card=card, path=llama.folder, revision="r1")


def _engine(**fields: object) -> TextEngine:
    return TextEngine.model_validate(
        {"slots": 3, "context": 128, "prefill_precision": None, **fields}
    )


def test_a_model_is_built_and_opened_as_the_profile_says(
    installed: InstalledModel, tmp_path: Path
) -> None:
    decoder = open_decoder(installed, _engine(), 1, tmp_path, Silent())
    assert (decoder.slots, decoder.max_length, decoder.vocabulary) == (3, 128, 160)


def test_contexts_within_the_models_own_share_a_build(
    installed: InstalledModel, tmp_path: Path
) -> None:
    first = build_decoder_once(installed, _engine(context=128), tmp_path, Silent())
    assert build_decoder_once(installed, _engine(context=256), tmp_path, Silent()) == first


def test_a_context_over_the_models_own_is_refused(
    installed: InstalledModel, tmp_path: Path
) -> None:
    with pytest.raises(KernelError, match="over the model's 256"):
        open_decoder(installed, _engine(context=512), 1, tmp_path, Silent())


def test_half_precision_is_refused_on_a_cpu(installed: InstalledModel, tmp_path: Path) -> None:
    with pytest.raises(KernelError, match="fp16 needs a GPU"):
        open_decoder(installed, _engine(precision="fp16"), 1, tmp_path, Silent())


def test_a_decoder_with_room_for_adapters_is_another_build(
    installed: InstalledModel, tmp_path: Path
) -> None:
    limits = AdapterLimits(count=2, rank=4)
    decoder = open_decoder(installed, _engine(), 1, tmp_path, Silent(), adapters=limits)
    assert decoder.adapters is not None
    assert decoder.adapters.shape.limits == limits
    plain = open_decoder(installed, _engine(), 1, tmp_path, Silent())
    assert plain.adapters is None
    assert len(list((tmp_path / "cache" / "kernels").glob("*/model.onnx"))) == 2


def test_limits_of_adapters_share_a_build(installed: InstalledModel, tmp_path: Path) -> None:
    for count in (1, 3):
        limits = AdapterLimits(count, rank=4)
        open_decoder(installed, _engine(), 1, tmp_path, Silent(), adapters=limits)
    assert len(list((tmp_path / "cache" / "kernels").glob("*/model.onnx"))) == 1
