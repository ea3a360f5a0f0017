"""Which adapters are read, and why others are refused."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from bestiary.errors import KernelError
from deployments.kernels.adapter_files import read_adapter
from tests.unit.kernels.conftest import SmallModel
from tests.unit.kernels.peft_adapters import make_adapter

MODULE = "model.layers.0.self_attn.q_proj"
DOWN = f"base_model.model.{MODULE}.lora_A.weight"
UP = f"base_model.model.{MODULE}.lora_B.weight"
Tensors = dict[str, np.ndarray]


def matrices(rank: int = 2) -> Tensors:
    generator = np.random.default_rng(0)
    return {
        DOWN: generator.normal(size=(rank, 6)).astype(np.float32),
        UP: generator.normal(size=(4, rank)).astype(np.float32),
    }


def saved(folder: Path, tensors: Tensors | None = None, **config: object) -> Path:
    stated = {"peft_type": "LORA", "r": 2, "lora_alpha": 6, "bias": "none"} | config
    (folder / "adapter_config.json").write_text(json.dumps(stated))
    save_file(matrices() if tensors is None else tensors, folder / "adapter_model.safetensors")
    return folder


def test_the_scaling_is_in_the_second_matrix(tmp_path: Path) -> None:
    adapter = read_adapter(saved(tmp_path))
    assert list(adapter) == [MODULE]
    stored = matrices()
    np.testing.assert_array_equal(adapter[MODULE].down, stored[DOWN])
    np.testing.assert_allclose(adapter[MODULE].up, 3 * stored[UP].T, rtol=1e-6)


def test_the_scaling_by_the_root_of_the_rank(tmp_path: Path) -> None:
    adapter = read_adapter(saved(tmp_path, use_rslora=True))
    np.testing.assert_allclose(adapter[MODULE].up, 6 / 2**0.5 * matrices()[UP].T, rtol=1e-6)


def test_half_precision_is_read(tmp_path: Path) -> None:
    halves = {name: value.astype(np.float16) for name, value in matrices().items()}
    down = read_adapter(saved(tmp_path, halves))[MODULE].down
    assert down.dtype == np.float32
    np.testing.assert_array_equal(down, halves[DOWN])


def test_what_peft_saves_is_read(llama: SmallModel, tmp_path: Path) -> None:
    adapter = read_adapter(make_adapter(llama, tmp_path, seed=1, rank=3).folder)
    assert len(adapter) == 2 * 7  # layers, modules
    assert adapter["model.layers.1.mlp.down_proj"].down.shape == (3, 96)
    assert adapter["model.layers.1.mlp.down_proj"].up.shape == (3, 64)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"peft_type": "IA3"}, "'IA3' is not LORA"),
        ({"task_type": "SEQ_CLS"}, "'SEQ_CLS' is not CAUSAL_LM"),
        ({"bias": "all"}, "bias of 'all'"),
        ({"r": 0}, "rank of 0"),
        ({"r": "two"}, r"adapter_config\.json: r is 'two', not an integer"),
        ({"lora_alpha": None}, "lora_alpha is None, not a number"),
        ({"r": 4}, "not of rank 4"),
        ({"init_lora_weights": "pissa"}, "'pissa' changes the base's weights"),
        ({"use_dora": True}, "use_dora is not supported"),
        ({"lora_bias": True}, "lora_bias is not supported"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save is not supported"),
        ({"rank_pattern": {"q_proj": 4}}, "rank_pattern is not supported"),
        ({"alpha_pattern": {"q_proj": 4}}, "alpha_pattern is not supported"),
        ({"trainable_token_indices": [1]}, "trainable_token_indices is not supported"),
        ({"an_option_of_tomorrow": True}, "an_option_of_tomorrow is not supported"),
    ],
)
def test_options_that_change_what_the_numbers_mean_are_refused(
    tmp_path: Path, config: dict[str, object], message: str
) -> None:
    with pytest.raises(KernelError, match=message):
        read_adapter(saved(tmp_path, **config))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({UP: None}, "has only one of its two matrices"),
        ({DOWN: None, UP: None}, "is empty"),
        ({DOWN: np.full((2, 6), np.nan, np.float32)}, "not finite"),
        ({DOWN: np.zeros((2, 6), np.int8)}, "is int8"),
        ({DOWN: np.zeros(6, np.float32)}, "not a matrix"),
        ({DOWN: np.zeros((3, 6), np.float32)}, "not of rank 2"),
        ({"base_model.model.lm_head.weight": np.zeros((2, 2), np.float32)}, "is not LoRA"),
        ({UP.replace("lora_B", "lora_magnitude_vector"): np.zeros(4, np.float32)}, "is not LoRA"),
        ({DOWN.replace("lora_A", "lora_embedding_A"): np.zeros((2, 6))}, "is not LoRA"),
    ],
)
def test_tensors_that_are_no_plain_lora_are_refused(
    tmp_path: Path, changes: dict[str, np.ndarray | None], message: str
) -> None:
    tensors = {k: v for k, v in (matrices() | changes).items() if v is not None}
    with pytest.raises(KernelError, match=message):
        read_adapter(saved(tmp_path, tensors))


@pytest.mark.parametrize("content", [None, "", "[]", "{"])
def test_a_config_that_cannot_be_read_is_refused(tmp_path: Path, content: str | None) -> None:
    saved(tmp_path)
    (tmp_path / "adapter_config.json").unlink()
    if content is not None:
        (tmp_path / "adapter_config.json").write_text(content)
    with pytest.raises(KernelError, match=r"adapter_config\.json"):
        read_adapter(tmp_path)


@pytest.mark.parametrize("share", [None, 0.0, 0.5, 0.99])
def test_weights_that_cannot_be_read_are_refused(tmp_path: Path, share: float | None) -> None:
    path = saved(tmp_path) / "adapter_model.safetensors"
    whole = path.read_bytes()
    path.unlink()
    if share is not None:
        path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(KernelError, match="no readable adapter_model"):
        read_adapter(tmp_path)


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    path = saved(tmp_path) / "adapter_model.safetensors"
    path.rename(tmp_path / "adapter_model.bin")
    (tmp_path / "adapter_model.bin").write_bytes(pickle.dumps({}))
    with pytest.raises(KernelError, match="no readable adapter_model"):
        read_adapter(tmp_path)
