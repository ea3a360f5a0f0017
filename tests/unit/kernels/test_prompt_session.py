"""The graph that only reads prompts: what torch computes, alone or together, in any cut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from deployments.kernels.decoder_build import Writing, build_prompt_graph
from deployments.kernels.kv_pool import HostPool, PoolShape
from deployments.kernels.model_files import GRAPH_FILE
from deployments.kernels.openvino import (
    machine_openvino_probe,
    open_on_openvino,
    why_no_bfloat16,
)
from deployments.kernels.prompt_session import PromptPart, PromptSession
from deployments.kernels.providers import CPU_ONLY
from deployments.kernels.sessions import SessionSettings, open_session
from tests.unit.kernels.conftest import POSITIONS, SLOTS, OpenSmall, SmallModel
from tests.unit.kernels.rows import decode, reference, tokens

MODELS = (
    "llama",
    "llama_with_biases",
    "qwen2",
    "qwen2_with_window",
    "qwen3",
    "mistral",
    "gemma3",
    "gpt2",
    "gpt2_without_prefix",
)
TOLERANCE = 2e-4  # of logits that reach about 30
NO_BFLOAT16 = why_no_bfloat16(machine_openvino_probe())

OpenPrompts = Callable[[SmallModel, str], PromptSession]


@pytest.fixture
def open_prompts(tmp_path: Path) -> OpenPrompts:
    """fp32 on ONNX Runtime's CPU provider, bf16mix on OpenVINO."""

    def opened(model: SmallModel, precision: str) -> PromptSession:
        folder = tmp_path / precision
        folder.mkdir()
        build_prompt_graph(model.folder, folder, precision, Writing(POSITIONS))
        graph = folder / GRAPH_FILE
        if precision == "bf16mix":
            session = open_on_openvino(graph, threads=2)
        else:
            session = open_session(graph, CPU_ONLY, SessionSettings(threads=2))
        (new,) = [one for one in session.get_outputs() if one.name == "new_key_values"]
        caches, _, kv_heads, _, head_dim = new.shape
        shape = PoolShape(caches, SLOTS, kv_heads, POSITIONS, head_dim, np.dtype(np.float32))
        return PromptSession(session, HostPool(shape))

    return opened


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> SmallModel:
    found: SmallModel = request.getfixturevalue(request.param)
    return found


def part(row: int, ids: list[int], past: int = 0) -> PromptPart:
    return PromptPart(row, np.array(ids), past)


def kv(prompts: PromptSession, row: int, length: int) -> NDArray[np.generic]:
    return prompts.pool.copy_out(row, 0, length)


def test_it_computes_what_torch_computes(model: SmallModel, open_prompts: OpenPrompts) -> None:
    ids = tokens(41)
    logits = open_prompts(model, "fp32").read([part(0, ids)], every=True)
    np.testing.assert_allclose(logits, reference(model.torch_model, ids), atol=TOLERANCE)


def test_a_row_goes_on_where_it_was(model: SmallModel, open_prompts: OpenPrompts) -> None:
    prompts, ids = open_prompts(model, "fp32"), tokens(70)
    prompts.read([part(2, ids[:32])])
    prompts.read([part(2, ids[32:64], past=32)])
    logits = prompts.read([part(2, ids[64:], past=64)])
    np.testing.assert_allclose(logits[0], reference(model.torch_model, ids)[-1], atol=TOLERANCE)


def test_prompts_of_several_rows_are_read_together(
    model: SmallModel, open_prompts: OpenPrompts
) -> None:
    prompts = open_prompts(model, "fp32")
    begun, short, long = tokens(50, seed=1), tokens(3, seed=2), tokens(37, seed=3)
    prompts.read([part(4, begun[:32])])
    logits = prompts.read([part(0, long), part(4, begun[32:], past=32), part(1, short)])
    expected = [reference(model.torch_model, ids)[-1] for ids in (long, begun, short)]
    np.testing.assert_allclose(logits, expected, atol=TOLERANCE)


def test_up_to_the_last_position(model: SmallModel, open_prompts: OpenPrompts) -> None:
    prompts, ids = open_prompts(model, "fp32"), tokens(POSITIONS)
    prompts.read([part(0, ids[:-3])])
    logits = prompts.read([part(0, ids[-3:], past=POSITIONS - 3)])
    np.testing.assert_allclose(logits[0], reference(model.torch_model, ids)[-1], atol=TOLERANCE)


@pytest.mark.parametrize("name", ["llama", "gemma3", "gpt2"])
def test_the_graph_that_decodes_goes_on_from_what_was_read(
    request: pytest.FixtureRequest, open_small: OpenSmall, open_prompts: OpenPrompts, name: str
) -> None:
    model: SmallModel = request.getfixturevalue(name)
    ids = tokens(33)
    prompts, decoder = open_prompts(model, "fp32"), open_small(model, "fp32")
    prompts.read([part(0, ids[:-1])])
    decoder.copy_in(0, 0, kv(prompts, 0, 32))
    logits = decode(decoder, ids[-1:], [32])
    np.testing.assert_allclose(logits[0], reference(model.torch_model, ids)[-1], atol=TOLERANCE)


@pytest.mark.parametrize(
    ("parts", "every", "said"),
    [
        ([part(0, [1, 2]), part(0, [3])], False, "two parts of one row"),
        ([part(0, [1, 2]), part(1, [3])], True, "one part alone"),
        ([part(0, [])], False, "no tokens"),
        ([part(0, [1, 2], past=POSITIONS - 1)], False, "are over"),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    llama: SmallModel, open_prompts: OpenPrompts, parts: list[PromptPart], every: bool, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        open_prompts(llama, "fp32").read(parts, every=every)


@pytest.mark.skipif(bool(NO_BFLOAT16), reason=NO_BFLOAT16)
def test_in_bfloat16_it_is_close_to_torch(model: SmallModel, open_prompts: OpenPrompts) -> None:
    ids = tokens(41)
    logits = open_prompts(model, "bf16mix").read([part(0, ids)], every=True)
    expected = reference(model.torch_model, ids)
    assert np.abs(logits - expected).mean() < 0.02 * np.abs(expected).max()


@pytest.mark.skipif(bool(NO_BFLOAT16), reason=NO_BFLOAT16)
def test_in_bfloat16_neither_company_nor_padding_nor_the_cut_changes_a_bit(
    llama: SmallModel, open_prompts: OpenPrompts
) -> None:
    prompts, ids = open_prompts(llama, "bf16mix"), tokens(100)
    alone = prompts.read([part(0, ids)]).copy()
    prompts.read([part(1, ids[:32])])
    prompts.read([part(1, ids[32:96], past=32), part(2, tokens(60, seed=1))])
    cut = prompts.read([part(3, tokens(90, seed=2)), part(1, ids[96:], past=96)])
    np.testing.assert_array_equal(cut[1], alone[0])
    np.testing.assert_array_equal(kv(prompts, 1, 100), kv(prompts, 0, 100))


@pytest.mark.skipif(bool(NO_BFLOAT16), reason=NO_BFLOAT16)
def test_a_row_that_is_not_a_number_spoils_no_other(
    llama: SmallModel, open_prompts: OpenPrompts
) -> None:
    prompts, ids = open_prompts(llama, "bf16mix"), tokens(20)
    alone = prompts.read([part(0, ids)]).copy()
    broken = np.full_like(kv(prompts, 0, 64), np.nan)
    prompts.pool.copy_in(1, 0, broken)
    together = prompts.read([part(1, ids, past=64), part(2, ids)])
    assert np.isnan(together[0]).all()
    np.testing.assert_array_equal(together[1], alone[0])
    np.testing.assert_array_equal(prompts.read([part(3, ids)])[0], alone[0])
