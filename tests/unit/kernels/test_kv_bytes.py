"""Keys and values as bytes: next to what floats say, and the same whoever writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from bestiary.errors import KernelError
from deployments.kernels.calibration import Calibration
from deployments.kernels.decoder_build import Writing, build_decoder, build_prompt_graph
from deployments.kernels.decoder_session import DecoderSession, pool_shape
from deployments.kernels.kv_pool import HostPool
from deployments.kernels.model_files import GRAPH_FILE
from deployments.kernels.openvino import machine_openvino_probe, open_on_openvino, why_no_bfloat16
from deployments.kernels.prompt_session import PromptPart, PromptSession
from deployments.kernels.providers import CPU_ONLY
from deployments.kernels.sessions import SessionSettings, open_session
from tests.unit.kernels.conftest import POSITIONS, SLOTS, SmallModel
from tests.unit.kernels.rows import decode, feed, reference, tokens

MODELS = ("llama", "llama_with_biases", "qwen2_with_window", "qwen3", "mistral", "gemma3", "gpt2")
CLOSE = 0.02  # of the largest logit, on average
NO_BFLOAT16 = why_no_bfloat16(machine_openvino_probe())


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> SmallModel:
    found: SmallModel = request.getfixturevalue(request.param)
    return found


def writing(model: SmallModel) -> Writing:
    """Calibrated on random tokens, a window's at a time: its cache keeps no more."""
    largest = np.zeros(0, np.float32)
    with torch.no_grad():
        for seed in range(40):
            ids = torch.tensor([tokens(12, seed=100 + seed)])
            layers = model.torch_model(ids, use_cache=True).past_key_values.layers
            caches = [
                one[0].abs().amax(1) for layer in layers for one in (layer.keys, layer.values)
            ]
            found = torch.stack(caches).numpy()
            largest = np.maximum(largest, found) if largest.size else found
    return Writing(POSITIONS, calibration=Calibration({}, largest), kv_bytes=True)


Open = Callable[[SmallModel, str], DecoderSession]


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    def open_bytes(model: SmallModel, precision: str) -> DecoderSession:
        build_decoder(model.folder, tmp_path, precision, writing(model))
        session = open_session(tmp_path / GRAPH_FILE, CPU_ONLY, SessionSettings(threads=2))
        return DecoderSession(session, HostPool(pool_shape(session, SLOTS, POSITIONS)))

    return open_bytes


def open_prompts(model: SmallModel, folder: Path, precision: str) -> PromptSession:
    build_prompt_graph(model.folder, folder, precision, writing(model))
    graph = folder / GRAPH_FILE
    if precision == "bf16mix":
        session = open_on_openvino(graph, threads=2)
    else:
        session = open_session(graph, CPU_ONLY, SessionSettings(threads=2))
    return PromptSession(session, HostPool(pool_shape(session, SLOTS, POSITIONS)))


def test_what_is_said_is_close_to_what_floats_say(model: SmallModel, opened: Open) -> None:
    decoder, ids = opened(model, "fp32"), tokens(60)
    assert decoder.copy_out(0, 0, 1).dtype == np.int8
    feed(decoder, 0, ids[:50], chunk=20)
    expected = reference(model.torch_model, ids)[50:]
    found = [decode(decoder, [ids[past]], [past])[0] for past in range(50, 60)]
    assert np.abs(np.array(found) - expected).mean() < CLOSE * np.abs(expected).max()


def test_neither_company_nor_the_cut_changes_a_bit(llama: SmallModel, opened: Open) -> None:
    decoder, ids = opened(llama, "fp32"), tokens(40)
    feed(decoder, 0, ids)
    feed(decoder, 1, tokens(9, seed=5))
    feed(decoder, 2, ids, chunk=7)
    np.testing.assert_array_equal(decoder.copy_out(2, 0, 40), decoder.copy_out(0, 0, 40))
    together = decode(decoder, [3, 4, 3], [40, 9, 40])
    np.testing.assert_array_equal(together[0], together[2])
    np.testing.assert_array_equal(decode(decoder, [3], [40])[0], together[0])


def test_whoever_reads_a_prompt_writes_the_same_bytes(
    model: SmallModel, opened: Open, tmp_path: Path
) -> None:
    (tmp_path / "prompts").mkdir()
    prompts, decoder = open_prompts(model, tmp_path / "prompts", "fp32"), opened(model, "fp32")
    ids = tokens(50)
    feed(decoder, 0, ids)
    prompts.read([PromptPart(1, np.array(ids[:32]), 0)])
    prompts.read([PromptPart(1, np.array(ids[32:]), 32)])
    ours = prompts.pool.copy_out(1, 0, 50).astype(int)
    theirs = decoder.copy_out(0, 0, 50).astype(int)
    assert np.abs(ours - theirs).max() <= 1  # where a float falls between two bytes
    assert (ours == theirs).mean() > 0.99


@pytest.mark.skipif(bool(NO_BFLOAT16), reason=NO_BFLOAT16)
def test_in_bfloat16_neither_company_nor_the_cut_changes_a_byte(
    llama: SmallModel, tmp_path: Path
) -> None:
    prompts, ids = open_prompts(llama, tmp_path, "bf16mix"), tokens(100)
    alone = prompts.read([PromptPart(0, np.array(ids), 0)]).copy()
    prompts.read([PromptPart(1, np.array(ids[:32]), 0)])
    prompts.read(
        [PromptPart(1, np.array(ids[32:96]), 32), PromptPart(2, np.array(tokens(60, seed=1)), 0)]
    )
    cut = prompts.read(
        [PromptPart(3, np.array(tokens(90, seed=2)), 0), PromptPart(1, np.array(ids[96:]), 96)]
    )
    np.testing.assert_array_equal(cut[1], alone[0])
    np.testing.assert_array_equal(
        prompts.pool.copy_out(1, 0, 100), prompts.pool.copy_out(0, 0, 100)
    )


def test_bytes_need_a_calibration(llama: SmallModel, tmp_path: Path) -> None:
    with pytest.raises(KernelError, match="only where the model was calibrated"):
        build_decoder(llama.folder, tmp_path, "fp32", Writing(POSITIONS, kv_bytes=True))
