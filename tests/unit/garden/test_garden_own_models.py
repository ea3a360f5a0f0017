"""`Garden.add`: a user's own GGUF file or safetensors folder."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from bestiary.errors import Conflict, GardenError, ModelNotFound
from bestiary.garden import Family, Garden

WriteGguf = Callable[..., Path]


def saved(model: PreTrainedModel, folder: Path, **options: object) -> Path:
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {word: index for index, word in enumerate(("[UNK]", "a", "b", "c"))}
    backend = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]")
    tokenizer.chat_template = "{{ messages[0].content }}"
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder, **options)
    return folder


@pytest.fixture
def llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=16,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
    )
    return LlamaForCausalLM(config).eval()


def test_safetensors_folder_becomes_an_installed_card(
    garden: Garden, home: Path, tmp_path: Path, llama: LlamaForCausalLM
) -> None:
    folder = saved(llama, tmp_path / "My Llama")
    card = garden.add(folder, tiers=["otter"], license="MIT")
    assert card.id == "my-llama"
    assert card.family is Family.TEXT
    assert card.architecture == "LlamaForCausalLM"
    assert card.parameters == sum(one.numel() for one in llama.parameters())
    assert card.context_length == 64
    assert card.instruct
    assert card.tiers == ("otter",)
    assert card.license == "MIT"
    shutil.rmtree(folder)  # the garden has its own copy
    fresh = Garden(home)
    assert fresh.card("my-llama") == card
    model = fresh.installed("my-llama")
    assert model.chat_template == "{{ messages[0].content }}"
    theirs = AutoModelForCausalLM.from_pretrained(model.path).eval()
    prompt = torch.arange(8)[None]
    with torch.no_grad():
        np.testing.assert_array_equal(theirs(prompt).logits, llama(prompt).logits)


def test_sharded_folder_is_taken_whole(
    garden: Garden, tmp_path: Path, llama: LlamaForCausalLM
) -> None:
    folder = saved(llama, tmp_path / "sharded", max_shard_size="2KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    card = garden.add(folder)
    assert card.parameters == sum(one.numel() for one in llama.parameters())
    assert (garden.installed(card.id).path / "model.safetensors.index.json").exists()


def test_encoder_folder_has_dimensions(garden: Garden, tmp_path: Path) -> None:
    config = BertConfig(
        vocab_size=16,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
    )
    card = garden.add(saved(BertModel(config), tmp_path / "bert"))
    assert (card.family, card.dimensions, card.instruct) == (Family.ENCODER, 16, False)


def test_gguf_file_becomes_an_installed_card(garden: Garden, tiny_gguf: Path) -> None:
    card = garden.add(tiny_gguf, card_id="mine", tiers=["gecko"])
    assert (card.id, card.tiers, card.instruct) == ("mine", ("gecko",), True)
    assert card.context_length == 128
    model = garden.installed("mine")
    assert model.provenance().gguf_types["model.norm.weight"] == "F32"
    logits = AutoModelForCausalLM.from_pretrained(model.path)(torch.arange(8)[None]).logits
    assert logits.shape == (1, 8, 300)


def test_adding_twice_is_one_card(garden: Garden, tiny_gguf: Path) -> None:
    assert garden.add(tiny_gguf) == garden.add(tiny_gguf)


def test_id_of_another_model_is_a_conflict(garden: Garden, tiny_gguf: Path) -> None:
    with pytest.raises(Conflict, match="give another id"):
        garden.add(tiny_gguf, card_id="all-minilm-l6-v2")


def test_removed_model_is_gone_and_its_original_stays(garden: Garden, tiny_gguf: Path) -> None:
    card = garden.add(tiny_gguf)
    path = garden.installed(card.id).path
    garden.remove(card.id)
    assert not path.exists()
    assert tiny_gguf.exists()
    with pytest.raises(ModelNotFound):
        garden.card(card.id)


def test_folder_of_pickles_is_refused_unopened(
    garden: Garden, tmp_path: Path, llama: LlamaForCausalLM
) -> None:
    folder = saved(llama, tmp_path / "pickled")
    (folder / "model.safetensors").unlink()
    witness = tmp_path / "opened"
    (folder / "pytest.bin").write_bytes(pickle.dumps(Touch(witness)))
    with pytest.raises(GardenError, match=r"only as pickles \(pytest\.bin\).*save_pretrained"):
        garden.add(folder)
    assert not witness.exists()


def test_pickle_and_code_beside_safetensors_are_not_taken(
    garden: Garden, tmp_path: Path, llama: LlamaForCausalLM
) -> None:
    folder = saved(llama, tmp_path / "both")
    for name in ("pytorch_model.bin", "modeling.py", "training_args.pth"):
        (folder / name).write_bytes(b"x")
    installed = garden.installed(garden.add(folder).id).path
    assert {path.suffix for path in installed.iterdir()} == {".json", ".safetensors", ".jinja"}


def test_cut_off_safetensors_is_refused(
    garden: Garden, tmp_path: Path, llama: LlamaForCausalLM
) -> None:
    weights = saved(llama, tmp_path / "torn") / "model.safetensors"
    os.truncate(weights, weights.stat().st_size - 1)
    with pytest.raises(GardenError, match="its header announces"):
        garden.add(weights.parent)
    with pytest.raises(ModelNotFound):
        garden.card("torn")


@pytest.mark.parametrize("name", ["absent.gguf", "notes.txt"])
def test_what_is_no_model_is_refused(garden: Garden, tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(GardenError, match=r"give a \.gguf file or a folder"):
        garden.add(tmp_path / name)


def test_architecture_of_no_family_lists_what_there_is(garden: Garden, model_folder: Path) -> None:
    (model_folder / "config.json").write_text(
        '{"architectures": ["UNet"], "model_type": "unet", "max_position_embeddings": 1}'
    )
    with pytest.raises(GardenError, match="belongs to no family"):
        garden.add(model_folder)


class Touch:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (_touch, (str(self._path),))


def _touch(path: str) -> None:
    Path(path).touch()
