"""GGUF -> safetensors, held against torch: the model that was written, and transformers' reader."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from safetensors import safe_open
from transformers import (
    AutoModelForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from bestiary.errors import GardenError
from bestiary.garden.gguf.convert import Conversion
from bestiary.progress import Silent

WriteGguf = Callable[..., Path]
SIZES = {
    "vocab_size": 300,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
MODELS: dict[str, Callable[[], PreTrainedModel]] = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZES, tie_word_embeddings=True)),
    "llama untied": lambda: LlamaForCausalLM(LlamaConfig(**SIZES, tie_word_embeddings=False)),
    "llama wide heads": lambda: LlamaForCausalLM(LlamaConfig(**SIZES, head_dim=32)),
    "llama3": lambda: LlamaForCausalLM(LlamaConfig(**SIZES, rope_parameters=dict(LLAMA3_ROPE))),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SIZES)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SIZES, head_dim=32)),
    "gemma3": lambda: Gemma3ForCausalLM(
        Gemma3TextConfig(
            **{**SIZES, "num_hidden_layers": 7},
            head_dim=32,
            sliding_window=8,
            query_pre_attn_scalar=32,
        )
    ),
    "gpt2": lambda: GPT2LMHeadModel(
        GPT2Config(vocab_size=300, n_embd=64, n_layer=2, n_head=4, n_positions=128, n_inner=96)
    ),
}
# transformers' own GGUF reader takes these sizes from the config class, not from the file.
READABLE: dict[str, Callable[[], PreTrainedModel]] = {
    "llama": MODELS["llama"],
    "qwen2": MODELS["qwen2"],
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SIZES, head_dim=128)),
    "gemma3": lambda: Gemma3ForCausalLM(
        Gemma3TextConfig(**SIZES, head_dim=256, sliding_window=8, query_pre_attn_scalar=256)
    ),
    "gpt2": lambda: GPT2LMHeadModel(
        GPT2Config(vocab_size=300, n_embd=64, n_layer=2, n_head=4, n_positions=1024, n_inner=256)
    ),
}


def random_model(
    name: str, models: Mapping[str, Callable[[], PreTrainedModel]] = MODELS
) -> PreTrainedModel:
    torch.manual_seed(0)
    model = models[name]().eval()
    for parameter in model.parameters():  # norms and biases too, which start at 1 and 0
        torch.nn.init.normal_(parameter, std=0.2)
    return model


def logits(model: PreTrainedModel) -> np.ndarray[Any, np.dtype[np.float32]]:
    prompt = torch.arange(0, 60, 3)[None]
    with torch.no_grad():
        values: np.ndarray[Any, np.dtype[np.float32]] = model(prompt).logits.numpy()
    return values


def converted(path: Path, folder: Path) -> PreTrainedModel:
    folder.mkdir()
    Conversion(path).write(folder, Silent())
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder)
    return model.eval()


@pytest.mark.parametrize("name", MODELS)
def test_float32_file_gives_the_model_that_was_written(
    name: str, write_gguf: WriteGguf, tmp_path: Path
) -> None:
    model = random_model(name)
    ours = converted(write_gguf(model), tmp_path / "out")
    assert type(ours) is type(model)
    np.testing.assert_allclose(logits(ours), logits(model), atol=1e-4)


@pytest.mark.parametrize("name", READABLE)
def test_quantised_file_gives_what_transformers_reads_from_it(
    name: str, write_gguf: WriteGguf, tmp_path: Path
) -> None:
    path = write_gguf(random_model(name, READABLE), quantised=gguf.GGMLQuantizationType.Q8_0)
    theirs = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32
    ).eval()
    ours = converted(path, tmp_path / "out")
    for key, weight in ours.state_dict().items():
        torch.testing.assert_close(theirs.state_dict()[key].dequantize(), weight, msg=key)
    # The same weights; the logits differ only where a config would.
    np.testing.assert_allclose(logits(ours), logits(theirs), atol=1e-4)


def test_conversion_loads_neither_torch_nor_ray_nor_a_web_server(
    tiny_gguf: Path, tmp_path: Path
) -> None:
    convert = (
        "import sys; from pathlib import Path; from bestiary.garden import Garden;"
        "Garden(Path(sys.argv[1])).add(Path(sys.argv[2]));"
        "print(*sorted({'torch', 'ray', 'fastapi'} & set(sys.modules)))"
    )
    told = subprocess.run(
        [sys.executable, "-c", convert, str(tmp_path / "home"), str(tiny_gguf)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert told.stdout.strip() == ""


def test_tied_embedding_is_stored_once(write_gguf: WriteGguf, tmp_path: Path) -> None:
    converted(write_gguf(random_model("llama")), tmp_path / "out")
    with safe_open(tmp_path / "out" / "model.safetensors", "np") as file:
        assert "lm_head.weight" not in file.keys()  # noqa: SIM118 - not a dict
    assert json.loads((tmp_path / "out" / "config.json").read_text())["tie_word_embeddings"]


def test_output_matrix_equal_to_the_embedding_is_tied(
    write_gguf: WriteGguf, tmp_path: Path
) -> None:
    model = random_model("llama untied")
    model.lm_head.weight.data = model.model.embed_tokens.weight.data.clone()
    ours = converted(write_gguf(model), tmp_path / "out")
    assert ours.config.tie_word_embeddings
    np.testing.assert_allclose(logits(ours), logits(model), atol=1e-4)


def test_types_of_the_file_are_kept_by_name(write_gguf: WriteGguf) -> None:
    path = write_gguf(random_model("llama"), quantised=gguf.GGMLQuantizationType.Q4_1)
    types = Conversion(path).gguf_types
    assert types["model.layers.0.self_attn.q_proj.weight"] == "Q4_1"
    assert types["model.norm.weight"] == "F32"


def test_description_is_what_the_file_says(write_gguf: WriteGguf) -> None:
    model = random_model("llama")
    told = Conversion(write_gguf(model, chat_template="{{ messages }}")).describe()
    assert told.architecture == "LlamaForCausalLM"
    assert told.parameters == sum(one.numel() for one in model.parameters())
    assert told.context_length == 128
    assert told.instruct


def test_linear_rope_scaling_reaches_the_config(write_gguf: WriteGguf, tmp_path: Path) -> None:
    rope = {"rope_type": "linear", "rope_theta": 10_000.0, "factor": 4.0}
    model = LlamaForCausalLM(LlamaConfig(**SIZES, rope_parameters=dict(rope))).eval()
    ours = converted(write_gguf(model), tmp_path / "out")
    np.testing.assert_allclose(logits(ours), logits(model), atol=1e-4)


WINDOWS = "gemma3.attention.sliding_window_pattern"
F, S = "full_attention", "sliding_attention"


@pytest.mark.parametrize(
    ("told", "kinds"),
    [
        ({}, [S, S, S, S, S, F, S]),
        ({WINDOWS: 2}, [S, F, S, F, S, F, S]),
        ({WINDOWS: [True, False, False, True, True, True, False]}, [S, F, F, S, S, S, F]),
        ({"gemma3.attention.sliding_window": 0}, [F, F, F, F, F, F, F]),
    ],
    ids=["unsaid", "a period", "layer by layer", "no window"],
)
def test_gemma3s_windows_reach_the_config(
    write_gguf: WriteGguf, tmp_path: Path, told: dict[str, object], kinds: list[str]
) -> None:
    model = random_model("gemma3")
    ours = converted(write_gguf(model, told=told), tmp_path / "out")
    assert ours.config.layer_types == kinds
    expected = type(model)(ours.config).eval()
    expected.load_state_dict(model.state_dict())
    np.testing.assert_allclose(logits(ours), logits(expected), atol=1e-4)


def test_gemma3s_local_turns_and_softcap_reach_the_config(
    write_gguf: WriteGguf, tmp_path: Path
) -> None:
    model = random_model("gemma3")
    model.config.rope_parameters[S]["rope_theta"] = 500.0
    model.config.final_logit_softcapping = 3.0
    changed = type(model)(model.config).eval()
    changed.load_state_dict(model.state_dict())
    told = {"gemma3.rope.freq_base_swa": 500.0, "gemma3.final_logit_softcapping": 3.0}
    ours = converted(write_gguf(model, told=told), tmp_path / "out")
    np.testing.assert_allclose(logits(ours), logits(changed), atol=1e-4)


@pytest.mark.parametrize(
    ("name", "told", "message"),
    [
        ("llama", {"llama.attention.sliding_window": 64}, "llama.attention.sliding_window is not"),
        ("llama", {"llama.logit_scale": 0.5}, "llama.logit_scale is not"),
        ("qwen2", {"qwen2.final_logit_softcapping": 30.0}, "final_logit_softcapping is not"),
        ("gemma3", {"gemma3.attn_logit_softcapping": 50.0}, "attn_logit_softcapping is not"),
        ("gemma3", {"gemma3.attention.value_length": 64}, "keys are 32 wide and values 64"),
        ("gemma3", {WINDOWS: [True]}, "is of 1 layers, not 7"),
        ("gemma3", {WINDOWS: 0}, "sliding_window_pattern is 0"),
        ("gpt2", {"gpt2.attention.causal": False}, "see what follows"),
    ],
)
def test_metadata_that_no_class_computes_is_refused(
    write_gguf: WriteGguf, name: str, told: dict[str, object], message: str
) -> None:
    with pytest.raises(GardenError, match=message):
        Conversion(write_gguf(random_model(name), told=told))


def test_unknown_architecture_lists_the_supported(write_gguf: WriteGguf) -> None:
    path = write_gguf(random_model("llama"), architecture="mamba")
    with pytest.raises(GardenError, match="'mamba' is not supported; supported: gemma3, gpt2"):
        Conversion(path)


@pytest.mark.parametrize(
    ("dropped", "told"),
    [
        ("llama.block_count", "has no llama.block_count"),
        ("blk.1.ffn_up.weight", "lacks the tensor blk.1.ffn_up.weight"),
    ],
)
def test_incomplete_file_names_what_is_missing(
    write_gguf: WriteGguf, dropped: str, told: str
) -> None:
    with pytest.raises(GardenError, match=told):
        Conversion(write_gguf(random_model("llama"), without=dropped))


def test_tensor_without_a_place_is_refused(write_gguf: WriteGguf) -> None:
    extra = {"blk.0.attn_q.bias": np.ones(64, np.float32)}
    with pytest.raises(GardenError, match=r"'blk\.0\.attn_q\.bias' has no place"):
        Conversion(write_gguf(random_model("llama"), extra=extra))


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.01, 0.1, 0.5, 0.999])
def test_cut_off_file_is_refused(tiny_gguf: Path, tmp_path: Path, share: float) -> None:
    content = tiny_gguf.read_bytes()
    torn = tmp_path / "torn.gguf"
    torn.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(GardenError, match="not a readable GGUF file"):
        Conversion(torn)


def test_length_that_lies_is_refused_at_once(tiny_gguf: Path, tmp_path: Path) -> None:
    content = tiny_gguf.read_bytes()
    key = b"tokenizer.ggml.token_type"
    length = content.index(key) + len(key) + 8  # past the array's two types
    huge = (1 << 60).to_bytes(8, "little")
    (tmp_path / "lies.gguf").write_bytes(content[:length] + huge + content[length + 8 :])
    with pytest.raises(GardenError, match="not a readable GGUF file"):
        Conversion(tmp_path / "lies.gguf")
