"""What goes through a model is measured by torch, once, and makes quantisation better."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bestiary.errors import KernelError
from bestiary.garden import InstalledModel
from bestiary.profile.models import TextEngine
from bestiary.progress import Silent
from deployments.kernels.build_cache import kernel_cache
from deployments.kernels.calibration import Calibration, calibrate, kept_calibration
from deployments.kernels.calibration_text import TEXTS
from deployments.kernels.certificate_text import TEXT
from deployments.kernels.decoder import open_decoder, prepare_decoder
from deployments.kernels.precisions.rows import quantise_rows
from deployments.kernels.precisions.smoothing import smoothing
from deployments.kernels.sessions import multiplies_bytes_exactly
from tests.unit.kernels.certified_models import CHARACTERS, installed_model
from tests.unit.kernels.conftest import SmallModel

NO_BYTES = "this CPU does not multiply bytes exactly: auto keeps floats"


@pytest.fixture(scope="session")
def model(llama: SmallModel, tmp_path_factory: pytest.TempPathFactory) -> InstalledModel:
    return installed_model(llama, tmp_path_factory.mktemp("calibrated") / "model")


@pytest.fixture(scope="session")
def home(model: InstalledModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the model was calibrated."""
    folder = tmp_path_factory.mktemp("home")
    calibrate(model, kernel_cache(folder))
    return folder


@pytest.fixture
def found(model: InstalledModel, home: Path) -> Calibration:
    kept = kept_calibration(model, kernel_cache(home))
    assert kept is not None
    return kept


def _ids(text: str) -> torch.Tensor:
    numbers = {character: number for number, character in enumerate(CHARACTERS)}
    space = numbers[" "]
    return torch.tensor([[numbers.get(character, space) for character in text]][:1])[:, :256]


def test_inputs_are_root_mean_squares_over_all_tokens(
    llama: SmallModel, found: Calibration
) -> None:
    layer = llama.torch_model.model.layers[0]
    with torch.no_grad():
        states = [llama.torch_model.model.embed_tokens(_ids(text))[0] for text in TEXTS]
        normed = torch.cat([layer.input_layernorm(one) for one in states])
    expected = normed.square().mean(0).sqrt().numpy()
    for part in "qkv":
        name = f"model.layers.0.self_attn.{part}_proj"
        np.testing.assert_allclose(found.inputs[name], expected, rtol=1e-4)


def test_keys_and_values_are_the_largest_of_the_cache(
    llama: SmallModel, found: Calibration
) -> None:
    largest = np.zeros_like(found.largest_kv)
    with torch.no_grad():
        for text in TEXTS:
            layers = llama.torch_model(_ids(text), use_cache=True).past_key_values.layers
            caches = [one for layer in layers for one in (layer.keys[0], layer.values[0])]
            largest = np.maximum(largest, torch.stack(caches).abs().amax(2).numpy())
    np.testing.assert_allclose(found.largest_kv, largest, rtol=1e-4)


def test_no_text_is_calibrated_on_and_compared_on() -> None:
    sentences = {one.strip() for text in TEXTS for one in text.split(".") if len(one) > 20}
    assert not [one for one in sentences if one in TEXT]


def test_a_model_that_torch_cannot_read_is_not_calibrated(
    llama: SmallModel, tmp_path: Path
) -> None:
    model = installed_model(llama, tmp_path / "model")
    (model.path / "config.json").write_text("{}")
    with pytest.raises(KernelError, match="torch cannot run it"):
        calibrate(model, kernel_cache(tmp_path))
    assert kept_calibration(model, kernel_cache(tmp_path)) is None


@pytest.mark.skipif(not multiplies_bytes_exactly(), reason=NO_BYTES)
def test_a_model_that_was_prepared_is_calibrated_and_keeps_bytes(
    model: InstalledModel, home: Path
) -> None:
    engine = TextEngine(slots=2, context=128, prefill_precision=None)
    prepare_decoder(model, engine, home, Silent())
    whole = open_decoder(model, engine, 1, home, Silent()).kv_bytes
    floats = engine.model_copy(update={"kv_precision": "float"})
    assert open_decoder(model, floats, 1, home, Silent()).kv_bytes == 4 * whole


def test_exact_engines_keep_floats(model: InstalledModel, home: Path) -> None:
    engine = TextEngine(slots=2, context=128, precision="fp32", prefill_precision=None)
    floats = engine.model_copy(update={"kv_precision": "float"})
    assert (
        open_decoder(model, engine, 1, home, Silent()).kv_bytes
        == open_decoder(model, floats, 1, home, Silent()).kv_bytes
    )


def test_bytes_without_calibration_are_refused_only_where_they_were_asked_for(
    model: InstalledModel, tmp_path: Path
) -> None:
    engine = TextEngine(slots=2, context=128, precision="int8", prefill_precision=None)
    open_decoder(model, engine, 1, tmp_path, Silent())
    wanted = engine.model_copy(update={"kv_precision": "int8"})
    with pytest.raises(KernelError, match="was not calibrated"):
        open_decoder(model, wanted, 1, tmp_path, Silent())


def _rounded(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    matrix = quantise_rows(weight)
    rounded: NDArray[np.float32] = matrix.data.T * matrix.scales[:, np.newaxis]
    return rounded


def test_smoothing_leaves_less_of_an_error_where_inputs_differ() -> None:
    random = np.random.default_rng(0)
    weight = random.standard_normal((48, 64)).astype(np.float32)
    sizes = np.exp(random.standard_normal(64) * 1.5).astype(np.float32)
    scales = smoothing(weight, sizes, _rounded)
    assert scales is not None
    assert scales.min() == 1
    inputs = random.standard_normal((400, 64)).astype(np.float32) * sizes
    exact = inputs @ weight.T
    plain = np.square(inputs @ _rounded(weight).T - exact).mean()
    smooth = np.square((inputs / scales) @ _rounded(weight * scales).T - exact).mean()
    assert smooth < 0.6 * plain


def test_inputs_of_one_size_need_no_smoothing() -> None:
    weight = np.random.default_rng(1).standard_normal((16, 32)).astype(np.float32)
    assert smoothing(weight, np.ones(32, np.float32), _rounded) is None
