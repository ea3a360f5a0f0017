"""Every kind of KV pool moves rows alike; a decoder runs the same on each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from deployments.kernels.decoder_build import Writing, build_decoder
from deployments.kernels.decoder_names import Graph
from deployments.kernels.decoder_session import DecoderSession, pool_shape
from deployments.kernels.device_pool import DevicePool
from deployments.kernels.kv_pool import HostPool, KvPool, PoolShape
from deployments.kernels.model_files import GRAPH_FILE
from deployments.kernels.providers import CPU_ONLY
from deployments.kernels.sessions import SessionSettings, open_session
from tests.unit.kernels.conftest import SmallModel
from tests.unit.kernels.rows import decode, feed, tokens

SHAPE = PoolShape(4, 3, 2, 10, 5, np.dtype(np.float32))
Make = Callable[[PoolShape], KvPool]


def device_pool(shape: PoolShape) -> KvPool:
    """What a GPU gets, in the memory of the CPU provider."""
    return DevicePool(shape, "cpu", CPU_ONLY)


@pytest.fixture(params=[HostPool, device_pool])
def make(request: pytest.FixtureRequest) -> Make:
    found: Make = request.param
    return found


def some_tokens(count: int, seed: int) -> np.ndarray:
    shape = (SHAPE.caches, SHAPE.kv_heads, count, SHAPE.head_dim)
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_what_is_put_into_a_row_comes_out(make: Make) -> None:
    pool, first, second = make(SHAPE), some_tokens(4, 1), some_tokens(3, 2)
    pool.copy_in(1, 0, first)
    pool.copy_in(1, 4, second)
    np.testing.assert_array_equal(pool.copy_out(1, 0, 4), first)
    np.testing.assert_array_equal(pool.copy_out(1, 4, 7), second)


def test_a_moved_row_is_the_same_in_its_new_place(make: Make) -> None:
    pool, mine, other = make(SHAPE), some_tokens(6, 3), some_tokens(6, 4)
    pool.copy_in(2, 0, mine)
    pool.copy_in(1, 0, other)
    pool.move_row(2, 0, 6)
    np.testing.assert_array_equal(pool.copy_out(0, 0, 6), mine)
    np.testing.assert_array_equal(pool.copy_out(1, 0, 6), other)


def test_a_decoder_runs_the_same_on_each(llama: SmallModel, tmp_path: Path) -> None:
    build_decoder(llama.folder, tmp_path, "fp32", Writing(128))
    session = open_session(tmp_path / GRAPH_FILE, CPU_ONLY, SessionSettings(threads=2))
    shape = pool_shape(session, 4, 128)
    answers = []
    for make in (HostPool, device_pool):
        decoder = DecoderSession(session, make(shape))
        feed(decoder, 3, tokens(20))
        decoder.move_row(3, 0, 20)
        decoder.copy_in(1, 0, decoder.copy_out(0, 0, 20))
        answers.append(decode(decoder, [5, 5], [20, 20]))
    np.testing.assert_array_equal(answers[0], answers[1])
    np.testing.assert_array_equal(answers[0][0], answers[0][1])


def test_a_second_graph_reads_prompts_into_the_same_pool(llama: SmallModel, tmp_path: Path) -> None:
    sessions = []
    for precision in ("fp32", "int8"):
        folder = tmp_path / precision
        folder.mkdir()
        build_decoder(llama.folder, folder, precision, Writing(128))
        sessions.append(open_session(folder / GRAPH_FILE, CPU_ONLY, SessionSettings(threads=2)))
    fp32, int8 = sessions
    shape = pool_shape(fp32, 2, 128)
    mixed = DecoderSession(fp32, HostPool(shape), {Graph.PREFILL: int8})
    plain = DecoderSession(int8, HostPool(shape))
    ids, start = np.array([tokens(20)]), np.zeros(1, np.int32)
    read = mixed.run(0, ids, start, Graph.PREFILL)
    np.testing.assert_array_equal(read, plain.run(0, ids, start))
    exact = DecoderSession(fp32, HostPool(shape))
    feed(exact, 0, tokens(20))
    assert not np.array_equal(decode(mixed, [3], [20]), decode(exact, [3], [20]))
