"""What a config of each architecture may say, and which of it no graph here can do."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

from bestiary.errors import KernelError
from deployments.kernels.decoder_build import Writing, build_decoder
from deployments.kernels.model_files import GRAPH_FILE, WEIGHTS_FILE
from tests.unit.kernels.conftest import POSITIONS, WINDOW, SmallModel

SLIDING, FULL = "sliding_attention", "full_attention"
TURNED = {
    FULL: {"rope_type": "yarn", "rope_theta": 1e6},
    SLIDING: {"rope_type": "default"},
}


def _changed(model: SmallModel, folder: Path, changes: dict[str, object]) -> Path:
    """The checkpoint with changes in its config: a value of None takes the key out."""
    folder.mkdir(exist_ok=True)
    config = json.loads((model.folder / "config.json").read_text()) | changes
    kept = {key: value for key, value in config.items() if changes.get(key, 0) is not None}
    for file in model.folder.iterdir():
        (folder / file.name).symlink_to(file)
    (folder / "config.json").unlink()
    (folder / "config.json").write_text(json.dumps(kept))
    return folder


def _graph(checkpoint: Path, target: Path) -> tuple[bytes, bytes]:
    target.mkdir()
    build_decoder(checkpoint, target, "fp32", Writing(POSITIONS))
    return (target / GRAPH_FILE).read_bytes(), (target / WEIGHTS_FILE).read_bytes()


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("llama", {"use_sliding_window": True}, "sliding window in LlamaForCausalLM"),
        ("llama", {"layer_types": [SLIDING, FULL]}, "sliding window in LlamaForCausalLM"),
        ("qwen2", {"layer_types": [SLIDING, FULL]}, "sliding window in Qwen2ForCausalLM"),
        ("qwen2_with_window", {"sliding_window": None}, "sliding_window is None"),
        ("qwen3", {"layer_types": ["linear_attention", FULL]}, "'linear_attention'"),
        ("qwen3", {"hidden_act": "gelu"}, "'gelu' is not SiLU"),
        ("mistral", {"layer_types": [SLIDING, FULL]}, "layer_types in MistralForCausalLM"),
        ("mistral", {"sliding_window": 0}, "window of 0 tokens"),
        ("gemma3", {"layer_types": [SLIDING, FULL]}, "2 layer_types for 3 layers"),
        ("gemma3", {"layer_types": "all"}, "layer_types is 'all', not a list of strings"),
        ("gemma3", {"sliding_window": -1}, "window of -1 tokens"),
        ("gemma3", {"final_logit_softcapping": 30.0}, "final_logit_softcapping"),
        ("gemma3", {"attn_logit_softcapping": 50.0}, "attn_logit_softcapping"),
        ("gemma3", {"use_bidirectional_attention": True}, "use_bidirectional_attention"),
        ("gemma3", {"hidden_activation": "gelu"}, "'gelu' is not gelu_pytorch_tanh"),
        ("gemma3", {"rope_parameters": TURNED}, "no rope type 'yarn'"),
        ("gemma3", {"rope_parameters": {"rope_type": "default"}}, "have no 'full_attention'"),
        ("gpt2", {"activation_function": "relu"}, "'relu' is not one of gelu_new"),
        ("gpt2", {"add_cross_attention": True}, "add_cross_attention"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx"),
        ("gpt2", {"n_positions": 64}, "over the model's 64"),
    ],
)
def test_an_option_that_no_graph_has_is_refused(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    name: str,
    changes: dict[str, object],
    message: str,
) -> None:
    checkpoint = _changed(request.getfixturevalue(name), tmp_path / "checkpoint", changes)
    with pytest.raises(KernelError, match=message):
        _graph(checkpoint, tmp_path / "built")


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        # transformers 4 knew no `rope_parameters` and no `layer_types`.
        (
            "gemma3",
            {
                "rope_parameters": None,
                "rope_theta": 2000.0,
                "rope_scaling": {"rope_type": "linear", "factor": 4.0},
                "rope_local_base_freq": 300.0,
                "layer_types": None,
                "sliding_window_pattern": 2,
            },
        ),
        ("qwen2_with_window", {"layer_types": None}),
        ("gpt2", {"tie_word_embeddings": None, "activation_function": "gelu_pytorch_tanh"}),
    ],
)
def test_two_ways_to_say_the_same_give_the_same_graph(
    request: pytest.FixtureRequest, tmp_path: Path, name: str, changes: dict[str, object]
) -> None:
    model: SmallModel = request.getfixturevalue(name)
    changed = _changed(model, tmp_path / "checkpoint", changes)
    assert _graph(changed, tmp_path / "b") == _graph(model.folder, tmp_path / "a")


def test_null_switches_mistrals_window_off_and_silence_does_not(
    mistral: SmallModel, tmp_path: Path
) -> None:
    config = json.loads((mistral.folder / "config.json").read_text())
    assert config.pop("sliding_window") == WINDOW
    silent, null = (_changed(mistral, tmp_path / str(i), {}) for i in range(2))
    (silent / "config.json").write_text(json.dumps(config))
    (null / "config.json").write_text(json.dumps(config | {"sliding_window": None}))
    windows = [_windows(_graph(folder, folder / "built")[0]) for folder in (silent, null)]
    assert windows == [{4096}, {-1}]


def _windows(graph: bytes) -> set[int]:
    nodes = onnx.ModelProto.FromString(graph).graph.node
    attentions = [node for node in nodes if node.op_type == "GroupQueryAttention"]
    return {a.i for node in attentions for a in node.attribute if a.name == "local_window_size"}
