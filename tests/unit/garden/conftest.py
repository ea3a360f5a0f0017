"""Tiny models, wheels and gardens for the garden's tests."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt
import pytest
import yaml
from safetensors.numpy import save_file
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.convert_slow_tokenizer import bytes_to_unicode
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from bestiary.garden import Garden

Files = Mapping[str, bytes]
Array = npt.NDArray[np.float32]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def garden(home: Path, tmp_path: Path) -> Garden:
    return Garden(home, zoo=tmp_path / "zoo")


@pytest.fixture(scope="session")
def model_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The smallest folder that is a text model, as file name -> content."""
    folder = tmp_path_factory.mktemp("model")
    save_file({"model.embed_tokens.weight": np.ones((8, 4), np.float32)}, folder / "m")
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "max_position_embeddings": 64,
    }
    return {
        "config.json": json.dumps(config).encode(),
        "model.safetensors": (folder / "m").read_bytes(),
        "tokenizer.json": b"{}",
        "tokenizer_config.json": json.dumps({"chat_template": "{{ messages }}"}).encode(),
    }


@pytest.fixture
def model_folder(tmp_path: Path, model_files: dict[str, bytes]) -> Path:
    folder = tmp_path / "tiny-model"
    folder.mkdir()
    for name, content in model_files.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is pip's only index: what is put there can be downloaded, nothing else."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    empty = tmp_path / "pip.conf"
    empty.write_text("")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(empty))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.delenv("PIP_CONSTRAINT", raising=False)
    return folder


@pytest.fixture
def make_wheel(wheels: Path) -> Callable[[Files], str]:
    """Writes `tiny_weights-1.0-py3-none-any.whl` with these members; returns its sha256."""

    def make(members: Files) -> str:
        path = wheels / "tiny_weights-1.0-py3-none-any.whl"
        info = "tiny_weights-1.0.dist-info"
        told = {
            f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n",
            f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/RECORD": b"",
        }
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in {**members, **told}.items():
                archive.writestr(name, content)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    return make


@pytest.fixture
def make_card(home: Path) -> Callable[..., str]:
    """Writes a user's card with these sources; returns its id."""

    def make(*sources: Mapping[str, object], card_id: str = "tiny", **fields: object) -> str:
        card = {
            "id": card_id,
            "family": "text",
            "architecture": "LlamaForCausalLM",
            "title": "Tiny",
            "parameters": 32,
            "instruct": True,
            "context_length": 64,
            "license": "CC0-1.0",
            "provenance": "made by a test",
            "sources": [dict(source) for source in sources],
            **fields,
        }
        (home / "cards").mkdir(parents=True, exist_ok=True)
        (home / "cards" / f"{card_id}.yaml").write_text(yaml.safe_dump(card))
        return card_id

    return make


@pytest.fixture
def digests(model_files: dict[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(content).hexdigest() for name, content in model_files.items()}


# --- GGUF files, written with llama.cpp's own package from transformers models ---


@pytest.fixture
def write_gguf(tmp_path: Path) -> Callable[..., Path]:
    """Writes a transformers model as `tmp_path/tiny.gguf`."""

    def write(
        model: PreTrainedModel,
        *,
        quantised: gguf.GGMLQuantizationType | None = None,
        architecture: str | None = None,
        chat_template: str | None = None,
        without: str = "",
        extra: Mapping[str, Array] | None = None,
        told: Mapping[str, object] | None = None,
    ) -> Path:
        path = tmp_path / "tiny.gguf"
        kind = architecture or model.config.model_type.removesuffix("_text")
        writer = gguf.GGUFWriter(path, kind)
        for key, value in {**_metadata(model, kind), **(told or {})}.items():
            if key != without:
                _ADD[type(value)](writer, key, value)
        _add_vocabulary(writer, model.config.vocab_size, chat_template)
        tensors = {**_tensors(model), **(extra or {})}
        for name, values in tensors.items():
            if name == without:
                continue
            if quantised and values.ndim == 2:
                packed = gguf.quants.quantize(values, quantised)
                writer.add_tensor(name, packed, raw_dtype=quantised)
            else:
                writer.add_tensor(name, values)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    return write


@pytest.fixture
def tiny_gguf(write_gguf: Callable[..., Path]) -> Path:
    """A Llama of 27,000 parameters with a chat template."""
    config = LlamaConfig(
        vocab_size=300,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=128,
    )
    return write_gguf(LlamaForCausalLM(config), chat_template="{{ messages }}")


_ADD: dict[type, Callable[..., None]] = {
    bool: gguf.GGUFWriter.add_bool,
    int: gguf.GGUFWriter.add_uint32,
    float: gguf.GGUFWriter.add_float32,
    str: gguf.GGUFWriter.add_string,
    list: gguf.GGUFWriter.add_array,
}


def _metadata(model: PreTrainedModel, kind: str) -> dict[str, int | float | str]:
    config = model.config
    told: dict[str, int | float | str] = {
        "block_count": config.num_hidden_layers,
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "attention.head_count": config.num_attention_heads,
    }
    if kind == "gpt2":
        told |= {"feed_forward_length": config.n_inner, "attention.layer_norm_epsilon": 1e-5}
    else:
        rope = config.rope_parameters
        rope = rope.get("full_attention", rope)
        told |= {
            "feed_forward_length": config.intermediate_size,
            "attention.head_count_kv": config.num_key_value_heads,
            "attention.layer_norm_rms_epsilon": config.rms_norm_eps,
            "rope.freq_base": float(rope["rope_theta"]),
        }
        head_dim = getattr(config, "head_dim", None)
        if head_dim:
            told |= {"attention.key_length": head_dim, "rope.dimension_count": head_dim}
        if rope["rope_type"] == "linear":
            told |= {"rope.scaling.type": "linear", "rope.scaling.factor": rope["factor"]}
    if kind == "gemma3":
        told["attention.sliding_window"] = config.sliding_window
    return {f"{kind}.{key}": value for key, value in told.items()}


def _tensors(model: PreTrainedModel) -> dict[str, Array]:
    """As llama.cpp's convert_hf_to_gguf.py names and changes them."""
    config = model.config
    kind = config.model_type.removesuffix("_text")
    known = {name: key for key, name in gguf.MODEL_ARCH_NAMES.items()}
    names = gguf.get_tensor_name_map(known[kind], config.num_hidden_layers)
    tensors: dict[str, Array] = {}
    for key, parameter in model.state_dict().items():
        if key == "lm_head.weight" and config.tie_word_embeddings:
            continue
        name = names.get_name(key, try_suffixes=(".weight", ".bias"))
        assert name is not None, key
        tensors[name] = _as_llama_cpp(kind, key, parameter.numpy(), config)
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type") == "llama3":
        frequencies = LlamaRotaryEmbedding(config).inv_freq.numpy()
        width = config.hidden_size // config.num_attention_heads
        plain = rope["rope_theta"] ** -(np.arange(0, width, 2) / width)
        tensors["rope_freqs.weight"] = (plain / frequencies).astype(np.float32)
    return tensors


def _as_llama_cpp(kind: str, key: str, values: Array, config: PreTrainedConfig) -> Array:
    if kind == "llama" and "q_proj" in key:
        values = _permuted(values, config.num_attention_heads)
    if kind == "llama" and "k_proj" in key:
        values = _permuted(values, config.num_key_value_heads)
    if kind == "gemma3" and key.endswith("norm.weight"):
        values = values + 1
    if kind == "gpt2" and values.ndim == 2 and ".h." in key:
        values = values.T
    return np.ascontiguousarray(values)


def _permuted(rows: Array, heads: int) -> Array:
    halves = rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
    return halves.swapaxes(1, 2).reshape(rows.shape)


def _add_vocabulary(writer: gguf.GGUFWriter, size: int, chat_template: str | None) -> None:
    """Bytes, two words, and special tokens up to `size`."""
    letters = sorted(bytes_to_unicode().values())
    words = ["he", "ll", "hell", "hello"]
    special = [f"<|{index}|>" for index in range(size - len(letters) - len(words))]
    tokens = [*letters, *words, *special]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * (size - len(special)) + [3] * len(special))
    writer.add_token_merges(["h e", "l l", "he ll", "hell o"])
    writer.add_bos_token_id(size - 2)
    writer.add_eos_token_id(size - 1)
    if chat_template:
        writer.add_chat_template(chat_template)
