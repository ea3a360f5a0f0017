"""Our streaming safetensors writer, read back with the safetensors package."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import load_file

from bestiary.garden.safetensors_writer import write_float32

TENSORS: dict[str, npt.NDArray[np.float32]] = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b.weight": np.array([np.pi], np.float32),
    "turned": np.arange(6, dtype=np.float32).reshape(2, 3).T,
}
SHAPES = {name: array.shape for name, array in TENSORS.items()}


def test_one_file_is_what_safetensors_reads(tmp_path: Path) -> None:
    write_float32(tmp_path, SHAPES, TENSORS.__getitem__)
    read = load_file(tmp_path / "model.safetensors")
    assert read.keys() == TENSORS.keys()
    for name, array in TENSORS.items():
        np.testing.assert_array_equal(read[name], array)


def test_shards_hold_everything_once_and_the_index_says_where(tmp_path: Path) -> None:
    write_float32(tmp_path, SHAPES, TENSORS.__getitem__, max_shard=28)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == 52
    assert index["weight_map"] == {
        "a": "model-00001-of-00002.safetensors",
        "b.weight": "model-00001-of-00002.safetensors",
        "turned": "model-00002-of-00002.safetensors",
    }
    for name, file in index["weight_map"].items():
        np.testing.assert_array_equal(load_file(tmp_path / file)[name], TENSORS[name])


def test_same_tensors_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_float32(tmp_path / name, SHAPES, TENSORS.__getitem__)
    one, two = (tmp_path / name / "model.safetensors" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_wrong_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a has the shape"):
        write_float32(tmp_path, {"a": (3, 2)}, TENSORS.__getitem__)
