"""Deltas: heads and low-rank changes over the weights of another installed card."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer, models
from transformers import BertConfig, BertForSequenceClassification, BertModel

from bestiary.errors import CardNotInstalled, ChecksumMismatch, GardenError, ModelNotFound
from bestiary.garden import Garden, Source
from bestiary.garden.checksum import sha256_of
from bestiary.garden.delta import BASE_PREFIX, BASE_SHA256
from bestiary.garden.installed import recipe_of

MakeCard = Callable[..., str]
CONFIG = BertConfig(
    vocab_size=40,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=32,
    max_position_embeddings=32,
    num_labels=3,
)
CHANGED = "bert.encoder.layer.1.output.dense.weight"


@pytest.fixture
def base(tmp_path: Path, make_card: MakeCard) -> Path:
    """A small BertModel and its card `base`."""
    torch.manual_seed(0)
    folder = tmp_path / "base"
    BertModel(CONFIG).save_pretrained(folder)
    Tokenizer(models.WordLevel({"a": 0}, "a")).save(str(folder / "tokenizer.json"))
    make_card({"url": f"file://{folder}"}, card_id="base", family="encoder")
    return folder


@pytest.fixture
def delta(tmp_path: Path, base: Path, make_card: MakeCard) -> Path:
    """A classifier over it, with one low-rank change, and its card `classifier`."""
    torch.manual_seed(1)
    folder = tmp_path / "delta"
    folder.mkdir()
    head = {
        "classifier.weight": np.random.default_rng(1).normal(size=(3, 16)).astype(np.float16),
        "classifier.bias": np.ones(3, np.float16),
    }
    write_delta(folder, base, head)
    told = CONFIG.to_dict() | {"architectures": ["BertForSequenceClassification"]}
    (folder / "config.json").write_text(json.dumps(told))
    source = {"url": f"file://{folder}", "format": "delta", "base": "base"}
    make_card(source, card_id="classifier", family="encoder")
    return folder


def write_delta(folder: Path, base: Path, tensors: dict[str, np.ndarray]) -> None:
    drawn = np.random.default_rng(0)
    low_rank = {
        f"{CHANGED}.lora_A": drawn.normal(size=(2, 32)).astype(np.float16),
        f"{CHANGED}.lora_B": drawn.normal(size=(16, 2)).astype(np.float16),
    }
    over = sha256_of(base / "model.safetensors")
    metadata = {BASE_SHA256: over, BASE_PREFIX: "bert."}
    save_file({**low_rank, **tensors}, folder / "delta.safetensors", metadata)


def test_composed_model_is_base_head_and_change(garden: Garden, base: Path, delta: Path) -> None:
    model = garden.install("classifier")
    written = load_file(model.path / "model.safetensors")
    old, new = load_file(base / "model.safetensors"), load_file(delta / "delta.safetensors")
    for name, tensor in old.items():
        if f"bert.{name}" != CHANGED:
            assert np.array_equal(written[f"bert.{name}"], tensor), name
    change = new[f"{CHANGED}.lora_B"].astype(np.float32) @ new[f"{CHANGED}.lora_A"].astype(
        np.float32
    )
    assert np.allclose(written[CHANGED], old[CHANGED.removeprefix("bert.")] + change)
    assert written["classifier.bias"].tolist() == [1, 1, 1]
    assert set(written) == {f"bert.{name}" for name in old} | {
        "classifier.weight",
        "classifier.bias",
    }


def test_transformers_opens_what_was_composed(garden: Garden, delta: Path) -> None:
    model = garden.install("classifier")
    read, told = BertForSequenceClassification.from_pretrained(model.path, output_loading_info=True)
    assert not told["missing_keys"]
    assert not told["unexpected_keys"]
    assert read(input_ids=torch.tensor([[0, 1]])).logits.shape == (1, 3)


def test_base_is_installed_first_and_recorded(garden: Garden, delta: Path) -> None:
    assert not garden.is_installed("base")
    model = garden.install("classifier")
    assert model.provenance().base_revision == garden.installed("base").revision
    assert (model.path / "tokenizer.json").read_bytes() == (
        garden.installed("base").path / "tokenizer.json"
    ).read_bytes()
    garden.verify("classifier")


def test_delta_over_another_base_is_refused(garden: Garden, base: Path, delta: Path) -> None:
    torch.manual_seed(9)
    BertModel(CONFIG).save_pretrained(base)
    with pytest.raises(ChecksumMismatch, match="the delta is over"):
        garden.install("classifier")
    assert not garden.is_installed("classifier")


def test_unknown_base_is_said(garden: Garden, delta: Path, make_card: MakeCard) -> None:
    source = {"url": f"file://{delta}", "format": "delta", "base": "nobody"}
    make_card(source, card_id="lost", family="encoder")
    with pytest.raises(ModelNotFound, match="nobody"):
        garden.install("lost")


def test_base_that_cannot_be_had_is_said(garden: Garden, delta: Path, make_card: MakeCard) -> None:
    make_card({"url": "zoo://nowhere"}, card_id="base", family="encoder")
    with pytest.raises(CardNotInstalled, match="base is not installed"):
        garden.install("classifier")


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        ({f"{CHANGED}.lora_B": np.ones((7, 2), np.float16)}, "its change"),
        ({"bert.nothing.lora_A": np.ones((2, 32), np.float16)}, "without bert.nothing.lora_B"),
        ({"bert.nothing.lora_B": np.ones((16, 2), np.float16)}, "without its .lora_A"),
        (
            {
                "bert.nothing.lora_A": np.ones((2, 32), np.float16),
                "bert.nothing.lora_B": np.ones((16, 2), np.float16),
            },
            "which the base does not have",
        ),
    ],
)
def test_changes_that_do_not_fit_are_refused(
    garden: Garden, base: Path, delta: Path, tensors: dict[str, np.ndarray], told: str
) -> None:
    write_delta(delta, base, tensors)
    with pytest.raises(GardenError, match=told):
        garden.install("classifier")


def test_delta_without_its_own_base_is_refused(garden: Garden, base: Path, delta: Path) -> None:
    save_file({"classifier.bias": np.ones(3, np.float32)}, delta / "delta.safetensors")
    with pytest.raises(GardenError, match=BASE_SHA256):
        garden.install("classifier")


def test_file_that_is_no_safetensors_is_refused(garden: Garden, delta: Path) -> None:
    (delta / "delta.safetensors").write_bytes(b"no")
    with pytest.raises(GardenError, match="cannot be read"):
        garden.install("classifier")


def test_only_a_delta_names_a_base() -> None:
    with pytest.raises(ValueError, match="names its `base`"):
        Source.model_validate({"url": "zoo://x", "base": "y"})
    with pytest.raises(ValueError, match="names its `base`"):
        Source.model_validate({"url": "zoo://x", "format": "delta"})


def test_recipes_of_sources_without_a_base_are_what_they_were() -> None:
    """Folders that older versions installed stay installed."""
    source = Source(url="zoo://x")
    assert recipe_of(source) == ("1951a8d22f791e5137c23846916577bf5218f7f62ce1f6e9267727cf7228d9e1")
    assert json.loads(source.model_dump_json())["base"] is None
