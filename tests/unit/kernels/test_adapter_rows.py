"""A row with an adapter says what the merged model says, beside rows with other ones."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import onnx
import pytest

from bestiary.errors import KernelError
from deployments.kernels.adapter_memory import DeviceAdapters, HostAdapters, adapter_shape
from deployments.kernels.adapters import AdapterBank
from deployments.kernels.decoder_build import Writing, build_decoder
from deployments.kernels.decoder_names import Graph
from deployments.kernels.decoder_session import DecoderSession, pool_shape
from deployments.kernels.kv_pool import HostPool
from deployments.kernels.model_files import GRAPH_FILE
from deployments.kernels.providers import CPU_ONLY
from deployments.kernels.sessions import SessionSettings, open_session
from tests.unit.kernels.conftest import POSITIONS, SLOTS, OpenSmall, SmallModel
from tests.unit.kernels.peft_adapters import (
    LIMITS,
    LLAMA_MODULES,
    SmallAdapter,
    feed_adapted,
    make_adapter,
    open_adapted,
)
from tests.unit.kernels.rows import decode, feed, reference, tokens

GPT2_MODULES = ("c_attn", "c_fc", "c_proj")
TOLERANCE = 3e-4  # of logits that reach about 60
LENGTHS = (5, 40, 23, 1, 61, 12)


@pytest.fixture(scope="session")
def adapters(llama: SmallModel, tmp_path_factory: pytest.TempPathFactory) -> list[SmallAdapter]:
    """Two of all modules, and one of few, of a lower rank."""
    root = tmp_path_factory.mktemp("adapters")
    return [
        make_adapter(llama, root / "first", seed=1, lora_alpha=16),
        make_adapter(llama, root / "second", seed=2, lora_alpha=4),
        make_adapter(llama, root / "small", seed=3, rank=3, modules=("k_proj", "up_proj")),
    ]


def _slots(bank: AdapterBank, adapters: list[SmallAdapter]) -> list[int]:
    return [bank.lease(adapter.folder.name, adapter.folder).slot for adapter in adapters]


@pytest.mark.parametrize(
    ("name", "modules"),
    [
        ("llama", LLAMA_MODULES),
        ("llama", ("v_proj", "down_proj")),
        ("llama_with_biases", LLAMA_MODULES),
        ("qwen3", LLAMA_MODULES),
        ("mistral", LLAMA_MODULES),
        ("gemma3", LLAMA_MODULES),
        ("gpt2", GPT2_MODULES),
        ("gpt2_without_prefix", GPT2_MODULES),
    ],
)
def test_a_row_with_an_adapter_says_what_the_merged_model_says(
    request: pytest.FixtureRequest, tmp_path: Path, name: str, modules: tuple[str, ...]
) -> None:
    model: SmallModel = request.getfixturevalue(name)
    fan = {"fan_in_fan_out": True} if "gpt2" in name else {}
    adapter = make_adapter(
        model, tmp_path / "adapter", seed=7, modules=modules, rank=5, lora_alpha=10, **fan
    )
    decoder, bank = open_adapted(model, tmp_path)
    slot, ids = bank.lease("one", adapter.folder).slot, tokens(40)
    expected = reference(adapter.merged, ids)
    assert np.abs(expected - reference(model.torch_model, ids)).max() > 1
    first = feed_adapted(decoder, 2, ids[:-1], slot)
    then = feed_adapted(decoder, 2, ids[-1:], slot, past=len(ids) - 1)
    np.testing.assert_allclose([first, then], expected[-2:], atol=TOLERANCE)


def test_scaling_by_the_root_of_the_rank(llama: SmallModel, tmp_path: Path) -> None:
    adapter = make_adapter(llama, tmp_path / "a", seed=4, rank=4, lora_alpha=6, use_rslora=True)
    decoder, bank = open_adapted(llama, tmp_path)
    logits = feed_adapted(decoder, 0, tokens(30), bank.lease("a", adapter.folder).slot)
    np.testing.assert_allclose(logits, reference(adapter.merged, tokens(30))[-1], atol=TOLERANCE)


def test_rows_with_other_adapters_and_with_none_share_a_run(
    llama: SmallModel, adapters: list[SmallAdapter], tmp_path: Path
) -> None:
    decoder, bank = open_adapted(llama, tmp_path)
    slots = [0, *_slots(bank, adapters)]
    models = [llama.torch_model, *(adapter.merged for adapter in adapters)]
    chosen = [1, 0, 3, 1, 2, 0]
    rows = [tokens(length + 1, seed=length) for length in LENGTHS]
    for row, ids in enumerate(rows):
        feed_adapted(decoder, row, ids[:-1], slots[chosen[row]])
    together = decoder.run(
        0,
        np.array([[ids[-1]] for ids in rows]),
        np.array(LENGTHS, np.int32),
        adapters=np.array([slots[one] for one in chosen]),
    )
    expected = [reference(models[one], ids)[-1] for one, ids in zip(chosen, rows, strict=True)]
    np.testing.assert_allclose(together, expected, atol=TOLERANCE)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize(
    "chosen", [[1, 1, 1, 1, 1, 1], [1, 0, 3, 1, 2, 0], [0, 3, 2, 1, 0, 1], [0, 0, 0, 0, 0, 2]]
)
def test_a_batch_equals_its_rows_alone_to_the_last_bit(
    llama: SmallModel,
    adapters: list[SmallAdapter],
    tmp_path: Path,
    precision: str,
    chosen: list[int],
) -> None:
    decoder, bank = open_adapted(llama, tmp_path, precision)
    slots = [0, *_slots(bank, adapters)]
    own = [slots[one] for one in chosen]
    following = tokens(len(LENGTHS), seed=99)
    for row, length in enumerate(LENGTHS):
        feed_adapted(decoder, row, tokens(length, seed=row), own[row])
    alone = [
        feed_adapted(decoder, row, following[row : row + 1], own[row], past=length)
        for row, length in enumerate(LENGTHS)
    ]
    for first, last in ((0, 6), (0, 2), (1, 4), (3, 6)):
        together = decoder.run(
            first,
            np.array(following[first:last])[:, np.newaxis],
            np.array(LENGTHS[first:last], np.int32),
            adapters=np.array(own[first:last]),
        )
        np.testing.assert_array_equal(together, alone[first:last])


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("chunk", [2, 5, 16, 39])
def test_chunks_of_two_or_more_tokens_change_nothing(
    llama: SmallModel, adapters: list[SmallAdapter], tmp_path: Path, precision: str, chunk: int
) -> None:
    decoder, bank = open_adapted(llama, tmp_path, precision)
    (slot,) = _slots(bank, adapters[:1])
    ids = tokens(40 if 40 % chunk != 1 else 41)
    whole = feed_adapted(decoder, 0, ids, slot)
    np.testing.assert_array_equal(feed_adapted(decoder, 1, ids, slot, chunk=chunk), whole)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_row_without_one_is_what_it_is_in_a_graph_that_takes_none(
    llama: SmallModel,
    adapters: list[SmallAdapter],
    open_small: OpenSmall,
    tmp_path_factory: pytest.TempPathFactory,
    precision: str,
) -> None:
    plain = open_small(llama, precision)
    decoder, bank = open_adapted(llama, tmp_path_factory.mktemp("adapted"), precision)
    (slot,) = _slots(bank, adapters[:1])
    expected = [feed(plain, 0, tokens(20)), *decode(plain, [7], [20])]
    found = [feed(decoder, 0, tokens(20)), *decode(decoder, [7], [20])]
    np.testing.assert_array_equal(found, expected)
    feed_adapted(decoder, 1, tokens(20), slot)
    mixed = decoder.run(
        0, np.array([[7], [7]]), np.full(2, 20, np.int32), adapters=np.array([0, slot])
    )
    np.testing.assert_array_equal(mixed[0], expected[1])
    assert not np.array_equal(mixed[1], mixed[0])


def test_every_position_of_an_adapted_row_has_its_logits(
    llama: SmallModel, adapters: list[SmallAdapter], tmp_path: Path
) -> None:
    decoder, bank = open_adapted(llama, tmp_path)
    (slot,) = _slots(bank, adapters[:1])
    ids = tokens(12)
    feed_adapted(decoder, 1, ids[:5], slot)
    found = decoder.run(
        1, np.array([ids[5:]]), np.array([5], np.int32), every=True, adapters=np.array([slot])
    )
    expected = reference(adapters[0].merged, ids)[5:]
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)


def test_a_low_rank_in_wide_slots_says_the_same(
    llama: SmallModel, adapters: list[SmallAdapter], tmp_path: Path
) -> None:
    decoder, bank = open_adapted(llama, tmp_path)
    (slot,) = _slots(bank, adapters[2:])  # of rank 3 in slots of 8
    logits = feed_adapted(decoder, 0, tokens(20), slot)
    expected = reference(adapters[2].merged, tokens(20))[-1]
    np.testing.assert_allclose(logits, expected, atol=TOLERANCE)


def test_a_slot_that_is_filled_again_holds_nothing_of_what_it_held(
    llama: SmallModel, adapters: list[SmallAdapter], tmp_path: Path
) -> None:
    decoder, bank = open_adapted(llama, tmp_path, limits=type(LIMITS)(count=1, rank=8))
    for adapter in (adapters[0], adapters[2]):  # the second changes fewer modules
        with bank.lease(adapter.folder.name, adapter.folder) as lease:
            logits = feed_adapted(decoder, 0, tokens(20), lease.slot)
    expected = reference(adapters[2].merged, tokens(20))[-1]
    np.testing.assert_allclose(logits, expected, atol=TOLERANCE)
    assert bank.counts.evictions == 1


def test_rows_go_on_while_other_adapters_come_and_go(
    llama: SmallModel, adapters: list[SmallAdapter], tmp_path: Path
) -> None:
    decoder, bank = open_adapted(llama, tmp_path, limits=type(LIMITS)(count=2, rank=8))
    held = bank.lease("held", adapters[0].folder)
    ids = tokens(30)
    expected = feed_adapted(decoder, 0, ids, held.slot)
    stop = threading.Event()

    def come_and_go() -> None:
        while not stop.is_set():
            for adapter in adapters[1:]:
                bank.lease(adapter.folder.name, adapter.folder).release()

    others = threading.Thread(target=come_and_go)
    others.start()
    try:
        for _ in range(40):
            np.testing.assert_array_equal(feed_adapted(decoder, 0, ids, held.slot), expected)
    finally:
        stop.set()
        others.join(timeout=10)
    assert bank.counts.evictions > 0


def test_adapters_in_a_devices_memory_say_the_same(
    llama: SmallModel, adapters: list[SmallAdapter], tmp_path: Path
) -> None:
    host, bank = open_adapted(llama, tmp_path)
    slots = _slots(bank, adapters)
    session = open_session(tmp_path / GRAPH_FILE, CPU_ONLY, SessionSettings(threads=2))
    memory = DeviceAdapters(adapter_shape(session, LIMITS), "cpu", CPU_ONLY)
    device = DecoderSession(session, HostPool(pool_shape(session, SLOTS, POSITIONS)), None, memory)
    assert _slots(AdapterBank(memory), adapters) == slots
    for slot in (slots[0], 0, slots[2]):
        found = feed_adapted(device, 0, tokens(20), slot)
        np.testing.assert_array_equal(found, feed_adapted(host, 0, tokens(20), slot))


@pytest.mark.parametrize("slots", [[4], [-1], [0, 0], []])
def test_slots_that_are_not_there_are_refused(
    llama: SmallModel, tmp_path: Path, slots: list[int]
) -> None:
    decoder, _ = open_adapted(llama, tmp_path)
    with pytest.raises(ValueError, match="adapter"):
        decoder.run(0, np.array([[1]]), np.zeros(1, np.int32), adapters=np.array(slots, np.int64))


def test_a_graph_built_without_adapters_takes_none(llama: SmallModel, tmp_path: Path) -> None:
    build_decoder(llama.folder, tmp_path, "fp32", Writing(POSITIONS))
    graph = onnx.load(tmp_path / GRAPH_FILE, load_external_data=False)
    assert not [value.name for value in graph.graph.input if "adapter" in value.name]
    session = open_session(tmp_path / GRAPH_FILE, CPU_ONLY, SessionSettings())
    with pytest.raises(KernelError, match="built without adapters"):
        adapter_shape(session, LIMITS)
    decoder = DecoderSession(session, HostPool(pool_shape(session, SLOTS, POSITIONS)))
    with pytest.raises(ValueError, match="adapter 1 is not in 1 slots"):
        decoder.run(0, np.array([[1]]), np.zeros(1, np.int32), adapters=np.array([1]))


def test_a_half_precision_graph_takes_half_precision_adapters(
    llama: SmallModel, tmp_path: Path
) -> None:
    build_decoder(llama.folder, tmp_path, "fp16", Writing(POSITIONS, adapters=True))
    inputs = onnx.load(tmp_path / GRAPH_FILE).graph.input
    types = {v.type.tensor_type.elem_type for v in inputs if v.name.startswith("adapters.")}
    assert types == {onnx.TensorProto.FLOAT16}


def test_a_graph_and_its_memory_must_agree_about_adapters(
    llama: SmallModel, tmp_path: Path
) -> None:
    sessions = []
    for adapters in (False, True):
        folder = tmp_path / str(adapters)
        folder.mkdir()
        build_decoder(llama.folder, folder, "fp32", Writing(POSITIONS, adapters=adapters))
        sessions.append(open_session(folder / GRAPH_FILE, CPU_ONLY, SessionSettings()))
    plain, adapted = sessions
    pool = HostPool(pool_shape(plain, SLOTS, POSITIONS))
    memory = HostAdapters(adapter_shape(adapted, LIMITS))
    with pytest.raises(KernelError, match="has no memory for them"):
        DecoderSession(adapted, pool)
    with pytest.raises(KernelError, match="built without adapters"):
        DecoderSession(adapted, pool, {Graph.PREFILL: plain}, memory)


@pytest.mark.parametrize(("count", "rank"), [(0, 8), (1, 0)])
def test_limits_that_let_nothing_in_are_refused(
    llama: SmallModel, tmp_path: Path, count: int, rank: int
) -> None:
    with pytest.raises(KernelError, match="are none"):
        open_adapted(llama, tmp_path, limits=type(LIMITS)(count, rank))
