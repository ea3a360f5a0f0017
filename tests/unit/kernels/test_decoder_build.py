"""What a decoder's build refuses, and what it writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from bestiary.errors import KernelError
from deployments.kernels.decoder_build import Writing, build_decoder
from deployments.kernels.decoder_session import pool_shape
from deployments.kernels.model_files import GRAPH_FILE, WEIGHTS_FILE
from deployments.kernels.providers import CPU_ONLY, CUDA, ProviderChoice
from deployments.kernels.sessions import SessionSettings, open_session
from tests.unit.kernels.conftest import POSITIONS, OpenSmall, SmallModel
from tests.unit.kernels.rows import feed, reference, tokens


def _copy_with(model: SmallModel, folder: Path, **changes: object) -> Path:
    """The checkpoint's config with changes; the weights by symbolic link."""
    config = json.loads((model.folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").symlink_to(model.folder / "model.safetensors")
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architectures": ["MambaForCausalLM"]}, "known: LlamaForCausalLM, Qwen2ForCausalLM"),
        ({"architectures": []}, "names no architecture"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "no rope type 'yarn'"),
        ({"hidden_act": "relu"}, "'relu' is not SiLU"),
        ({"num_hidden_layers": 3}, "no tensor 'model.layers.2"),
        ({"num_hidden_layers": "two"}, "num_hidden_layers is 'two', not an integer"),
        ({"max_position_embeddings": 64}, "over the model's 64"),
    ],
)
def test_a_checkpoint_that_is_not_understood_is_refused(
    llama: SmallModel, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    _copy_with(llama, folder, **changes)
    with pytest.raises(KernelError, match=message):
        build_decoder(folder, tmp_path, "fp32", Writing(POSITIONS))


def test_an_unknown_precision_lists_the_known_ones(llama: SmallModel, tmp_path: Path) -> None:
    with pytest.raises(KernelError, match="known: fp32, fp16, bf16, bf16mix, int8"):
        build_decoder(llama.folder, tmp_path, "int3", Writing(POSITIONS))


def test_a_folder_without_weights_is_refused(llama: SmallModel, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((llama.folder / "config.json").read_bytes())
    with pytest.raises(KernelError, match=r"neither model\.safetensors nor"):
        build_decoder(tmp_path, tmp_path, "fp32", Writing(POSITIONS))


def test_tied_embeddings_are_stored_once(llama: SmallModel, tmp_path: Path) -> None:
    build_decoder(llama.folder, tmp_path, "fp32", Writing(POSITIONS))
    parameters = sum(p.numel() for p in llama.torch_model.parameters())
    pages = 40 * 4096  # of padding between weights, at most
    assert (tmp_path / WEIGHTS_FILE).stat().st_size < 4 * parameters + pages


def test_the_half_precision_graph_is_sound_and_keeps_its_cache_in_half(
    llama: SmallModel, tmp_path: Path
) -> None:
    build_decoder(llama.folder, tmp_path, "fp16", Writing(POSITIONS))
    graph = onnx.load(tmp_path / GRAPH_FILE).graph
    types = {v.name: v.type.tensor_type.elem_type for v in (*graph.input, *graph.output)}
    assert types["past_key_values.0.key"] == types["present.1.value"] == onnx.TensorProto.FLOAT16
    assert types["logits"] == onnx.TensorProto.FLOAT


def test_int8_is_close_to_full_precision(qwen2: SmallModel, open_small: OpenSmall) -> None:
    ids = tokens(60)
    expected = reference(qwen2.torch_model, ids)[-1]
    logits = feed(open_small(qwen2, "int8"), 0, ids)
    error = np.abs(logits - expected).max() / np.abs(expected).max()
    assert error < 0.05


def test_a_context_over_the_tables_is_refused(llama: SmallModel, tmp_path: Path) -> None:
    build_decoder(llama.folder, tmp_path, "fp32", Writing(POSITIONS))
    session = open_session(tmp_path / GRAPH_FILE, CPU_ONLY, SessionSettings())
    with pytest.raises(KernelError, match="built for 128 tokens, not 129"):
        pool_shape(session, 1, POSITIONS + 1)


def test_a_session_that_runs_elsewhere_than_chosen_is_refused(
    llama: SmallModel, tmp_path: Path
) -> None:
    build_decoder(llama.folder, tmp_path, "fp32", Writing(POSITIONS))
    choice = ProviderChoice((CUDA, "CPUExecutionProvider"), "a test")
    settings = SessionSettings(log_severity=4)
    with pytest.raises(KernelError, match="were chosen"):
        open_session(tmp_path / GRAPH_FILE, choice, settings)


def test_a_damaged_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / GRAPH_FILE).write_bytes(b"not a graph")
    with pytest.raises(KernelError, match="cannot load"):
        open_session(tmp_path / GRAPH_FILE, CPU_ONLY, SessionSettings())
