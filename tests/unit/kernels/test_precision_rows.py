"""In every precision a row's answer is its own, to the last bit; and close to float32's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from bestiary.errors import KernelError
from deployments.kernels.certificate_measures import parity_of, read_by_decoder
from deployments.kernels.certificate_reference import Reference
from deployments.kernels.decoder_build import Writing, build_decoder
from deployments.kernels.model_files import GRAPH_FILE
from deployments.kernels.precisions import PRECISIONS
from deployments.kernels.sessions import cpu_flags
from tests.unit.kernels.conftest import POSITIONS, SHAPE, OpenSmall, SmallModel
from tests.unit.kernels.rows import decode, feed, reference, tokens

ON_CPU = ("int8", "q41fast", "w8a16", "w8row", "int4")  # besides fp32, which has its own tests
FOUR_BITS = ("q41fast", "int4")
LENGTHS = (5, 40, 23, 1, 61, 12)


@pytest.fixture(scope="session")
def from_q41(tmp_path_factory: pytest.TempPathFactory) -> SmallModel:
    """A Llama whose matrices hold 16 levels in each block of 32, as after a Q4_1 file."""
    torch.manual_seed(7)
    model = LlamaForCausalLM(LlamaConfig(**SHAPE, tie_word_embeddings=True)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("proj.weight"):
                blocks = parameter.reshape(parameter.shape[0], -1, 32)
                lowest = blocks.amin(-1, keepdim=True).half().float()
                steps = ((blocks.amax(-1, keepdim=True) - lowest) / 15).half().float()
                levels = ((blocks - lowest) / steps).round().clamp(0, 15)
                parameter.copy_((levels * steps + lowest).reshape(parameter.shape))
    return _saved(model, tmp_path_factory.mktemp("llama-q41"))


def _changed(small: SmallModel) -> LlamaForCausalLM:
    """A copy to change."""
    model = LlamaForCausalLM(small.torch_model.config).eval()
    model.load_state_dict(small.torch_model.state_dict())
    return model


def _saved(model: LlamaForCausalLM, folder: Path) -> SmallModel:
    model.save_pretrained(folder)
    return SmallModel(folder, model)


def test_every_precision_for_cpus_is_tested_here() -> None:
    assert {*ON_CPU, "fp32", "fp16", "bf16", "bf16mix"} == set(PRECISIONS)


@pytest.mark.parametrize("precision", ON_CPU)
def test_a_batch_equals_its_rows_alone(
    from_q41: SmallModel, open_small: OpenSmall, precision: str
) -> None:
    if precision in FOUR_BITS and "avx512f" not in cpu_flags():
        pytest.skip("ONNX Runtime's products with four bits add in another order for one row here")
    decoder = open_small(from_q41, precision)
    for row, length in enumerate(LENGTHS):
        feed(decoder, row, tokens(length, seed=row))
    following = tokens(len(LENGTHS), seed=99)
    alone = [
        feed(decoder, row, following[row : row + 1], past=length)
        for row, length in enumerate(LENGTHS)
    ]
    for rows in range(2, len(LENGTHS) + 1):
        together = decode(decoder, following[:rows], list(LENGTHS[:rows]))
        np.testing.assert_array_equal(together, alone[:rows])


@pytest.mark.parametrize("precision", ON_CPU)
@pytest.mark.parametrize("chunk", [2, 5, 16])
def test_chunks_of_two_or_more_tokens_change_nothing(
    from_q41: SmallModel, open_small: OpenSmall, precision: str, chunk: int
) -> None:
    decoder, ids = open_small(from_q41, precision), tokens(40)
    whole, chunked = feed(decoder, 0, ids), feed(decoder, 1, ids, chunk=chunk)
    np.testing.assert_array_equal(chunked, whole)


def _divergence(model: SmallModel, open_small: OpenSmall, precision: str) -> float:
    """Mean over 100 positions, in nats."""
    ids = tokens(100)
    expected = Reference(np.array(ids), reference(model.torch_model, ids))
    return parity_of(read_by_decoder(open_small(model, precision)), expected).kl


@pytest.mark.parametrize(
    ("precision", "most"),
    [("int8", 0.006), ("q41fast", 0.004), ("w8a16", 0.005), ("w8row", 0.008), ("int4", 0.4)],
)
def test_what_is_said_is_near_what_torch_says(
    from_q41: SmallModel, open_small: OpenSmall, precision: str, most: float
) -> None:
    assert _divergence(from_q41, open_small, precision) < most


@pytest.mark.parametrize("precision", ["int8", "w8a16", "w8row", "int4"])
def test_biases_and_a_head_of_its_own_are_written(
    llama_with_biases: SmallModel, open_small: OpenSmall, precision: str
) -> None:
    most = 0.15 if precision == "int4" else 0.003
    assert _divergence(llama_with_biases, open_small, precision) < most


def test_two_bytes_keep_what_one_byte_loses(
    from_q41: SmallModel, open_small: OpenSmall, tmp_path: Path
) -> None:
    """One channel is hundreds of times larger than the rest, as in real models."""
    model = _changed(from_q41)
    with torch.no_grad():
        for layer in model.model.layers:
            layer.input_layernorm.weight[3] = 300.0
            for part in (layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj):
                part.weight[:, 3] = 0  # so that only rounding notices
    outlier = _saved(model, tmp_path / "outlier")
    one_byte, two_bytes = (
        _divergence(outlier, open_small, precision) for precision in ("w8row", "w8a16")
    )
    assert two_bytes < 0.01
    assert one_byte > 50 * two_bytes


def test_weights_that_were_not_q41_are_refused_not_rounded(
    llama: SmallModel, tmp_path: Path
) -> None:
    with pytest.raises(KernelError, match="not made from Q4_1"):
        build_decoder(llama.folder, tmp_path, "q41fast", Writing(POSITIONS))


def test_an_infinite_activation_shows_in_the_logits(
    from_q41: SmallModel, open_small: OpenSmall, tmp_path: Path
) -> None:
    """The engine ends such a request; bytes alone could hide it."""
    model = _changed(from_q41)
    with torch.no_grad():
        model.model.layers[1].post_attention_layernorm.weight[:] = float("inf")
    infinite = _saved(model, tmp_path / "infinite")
    for precision in ("w8a16", "w8row"):
        logits = feed(open_small(infinite, precision), 0, tokens(5))
        assert not np.isfinite(logits).all()


@pytest.mark.parametrize(
    ("precision", "element"),
    [("fp16", onnx.TensorProto.FLOAT16), ("bf16", onnx.TensorProto.BFLOAT16)],
)
def test_half_precisions_write_sound_graphs_in_their_type(
    qwen2: SmallModel, tmp_path: Path, precision: str, element: int
) -> None:
    build_decoder(qwen2.folder, tmp_path, precision, Writing(POSITIONS))
    model = onnx.load(tmp_path / GRAPH_FILE)
    types = {
        v.name: v.type.tensor_type.elem_type for v in (*model.graph.input, *model.graph.output)
    }
    assert types["past_key_values.0.key"] == types["present.1.value"] == element
    assert types["logits"] == onnx.TensorProto.FLOAT
    weights = {one.name: one for one in model.graph.initializer if "proj.weight" in one.name}
    assert {one.data_type for one in weights.values()} == {element}
    stored = onnx.numpy_helper.to_array(weights["model.layers.0.mlp.up_proj.weight"])
    expected = qwen2.torch_model.model.layers[0].mlp.up_proj.weight.detach().numpy().T
    np.testing.assert_allclose(stored.astype(np.float32), expected, rtol=2**-7)
