"""Slots are filled, shared, kept while a row has them, and given to others after that."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from bestiary.errors import KernelError, Overloaded
from deployments.kernels.adapter_memory import (
    AdapterLimits,
    AdapterShape,
    HostAdapters,
    Place,
)
from deployments.kernels.adapter_targets import Target, targets_from_text, targets_to_text
from deployments.kernels.adapters import BASE_SLOT, AdapterBank, AdapterCounts

RANK, WIDTH = 3, 5
TARGETS = (
    Target("layer.qkv", WIDTH, (("layer.q", 4), ("layer.k", 2), ("layer.v", 2))),
    Target("layer.o", 4, (("layer.o", WIDTH),)),
)
SHAPE = AdapterShape(TARGETS, AdapterLimits(2, RANK), np.dtype(np.float32))
Matrices = dict[str, tuple[int, int]]  # module -> its input's and its output's width
WHOLE: Matrices = {"layer.q": (WIDTH, 4), "layer.v": (WIDTH, 2), "layer.o": (4, WIDTH)}


class WatchedMemory:
    """Slots that can be read; `gate` holds a load back, `broken` fails it half-way."""

    device = "cpu"

    def __init__(self) -> None:
        self.shape = SHAPE
        self.content = {name: np.zeros(size, np.float32) for name, size in SHAPE.inputs.items()}
        self.gate = threading.Event()
        self.gate.set()
        self.writing = threading.Event()
        self.broken = False

    def places(self, first_slot: int) -> Iterator[Place]:
        return HostAdapters(self.shape).places(first_slot)

    def write(self, slot: int, name: str, values: np.ndarray) -> None:
        self.writing.set()
        assert self.gate.wait(timeout=10)
        if self.broken and name == TARGETS[1].down:
            raise OSError("the device is gone")
        self.content[name][slot] = values


@pytest.fixture
def memory() -> WatchedMemory:
    return WatchedMemory()


@pytest.fixture
def bank(memory: WatchedMemory) -> AdapterBank:
    return AdapterBank(memory)


def saved(folder: Path, seed: int, modules: Matrices = WHOLE, rank: int = 2) -> Path:
    folder.mkdir()
    generator = np.random.default_rng(seed)
    tensors = {}
    for module, (width, out) in modules.items():
        name = f"base_model.model.{module}"
        tensors[f"{name}.lora_A.weight"] = generator.normal(size=(rank, width)).astype(np.float32)
        tensors[f"{name}.lora_B.weight"] = generator.normal(size=(out, rank)).astype(np.float32)
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": rank}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    return [saved(tmp_path / f"adapter-{seed}", seed) for seed in range(3)]


def added(memory: WatchedMemory, slot: int, target: Target, x: np.ndarray) -> np.ndarray:
    """What the graph makes of a slot."""
    total: np.ndarray = x @ memory.content[target.down][slot].T @ memory.content[target.up][slot]
    return total


def test_a_stacked_product_gets_each_modules_own_rows(
    bank: AdapterBank, memory: WatchedMemory, folders: list[Path]
) -> None:
    slot = bank.lease("one", folders[0]).slot
    stored = load_file(folders[0] / "adapter_model.safetensors")
    x = np.random.default_rng(9).normal(size=WIDTH).astype(np.float32)

    def alone(module: str) -> np.ndarray:
        name = f"base_model.model.{module}.lora_"
        result: np.ndarray = stored[f"{name}B.weight"] @ (stored[f"{name}A.weight"] @ x)
        return result

    expected = np.concatenate([alone("layer.q"), np.zeros(2), alone("layer.v")])
    np.testing.assert_allclose(added(memory, slot, TARGETS[0], x), expected, rtol=1e-5)


def test_the_base_slot_is_never_given_away(bank: AdapterBank, folders: list[Path]) -> None:
    slots = {bank.lease(folder.name, folder).slot for folder in folders[:2]}
    assert slots == {1, 2}
    assert BASE_SLOT not in slots


def test_a_second_lease_shares_the_slot_and_loads_nothing(
    bank: AdapterBank, folders: list[Path]
) -> None:
    first, second = (bank.lease("one", folders[0]) for _ in range(2))
    assert first.slot == second.slot
    assert bank.counts == AdapterCounts(loads=1, evictions=0, resident=1, leased=1)


def test_the_one_unused_for_longest_gives_way(bank: AdapterBank, folders: list[Path]) -> None:
    for name, folder in (("a", folders[0]), ("b", folders[1]), ("a", folders[0])):
        bank.lease(name, folder).release()
    bank.lease("c", folders[2]).release()
    assert bank.resident == ("a", "c")
    assert bank.counts == AdapterCounts(loads=3, evictions=1, resident=2, leased=0)


def test_one_that_a_row_uses_never_gives_way(bank: AdapterBank, folders: list[Path]) -> None:
    held = bank.lease("a", folders[0])
    bank.lease("b", folders[1]).release()
    bank.lease("c", folders[2])
    assert bank.resident == ("a", "c")
    with pytest.raises(Overloaded, match="all 2 adapters are in use") as refused:
        bank.lease("b", folders[1])
    assert refused.value.retry_after_s > 0
    assert bank.resident == ("a", "c")
    held.release()
    assert bank.lease("b", folders[1]).slot == held.slot


def test_a_lease_ends_once(bank: AdapterBank, folders: list[Path]) -> None:
    with bank.lease("a", folders[0]) as first:
        second = bank.lease("a", folders[0])
        first.release()
        first.release()
        assert bank.counts.leased == 1  # the second one
    assert bank.counts.leased == 1
    second.release()
    assert bank.counts.leased == 0


def test_nothing_is_left_of_the_one_that_was_in_the_slot(
    bank: AdapterBank, memory: WatchedMemory, folders: list[Path], tmp_path: Path
) -> None:
    for folder in folders[:2]:
        bank.lease(folder.name, folder).release()
    small = saved(tmp_path / "small", 5, {"layer.q": (WIDTH, 4)}, rank=1)
    slot = bank.lease("small", small).slot
    assert not memory.content[TARGETS[1].up][slot].any()
    assert np.count_nonzero(memory.content[TARGETS[0].down][slot]) == WIDTH


@pytest.mark.parametrize(
    ("modules", "rank", "message"),
    [
        ({"layer.gate": (WIDTH, 4)}, 2, "cannot change 'layer.gate' in this model"),
        ({"layer.q": (WIDTH, 4)}, 4, "rank of 4 is over this model's 3"),
        ({"layer.q": (WIDTH + 1, 4)}, 2, "takes 6 values and gives 4; this model's takes 5"),
        ({"layer.q": (WIDTH, 3)}, 2, "gives 3; this model's takes 5 and gives 4"),
    ],
)
def test_an_adapter_of_another_model_is_refused_and_evicts_nothing(
    bank: AdapterBank,
    folders: list[Path],
    tmp_path: Path,
    modules: Matrices,
    rank: int,
    message: str,
) -> None:
    for folder in folders[:2]:
        bank.lease(folder.name, folder).release()
    before = bank.resident
    with pytest.raises(KernelError, match=message):
        bank.lease("strange", saved(tmp_path / "strange", 1, modules, rank))
    assert bank.resident == before


def test_a_load_that_breaks_off_gives_its_slot_back(
    bank: AdapterBank, memory: WatchedMemory, folders: list[Path]
) -> None:
    bank.lease("a", folders[0])
    memory.broken = True
    with pytest.raises(OSError, match="the device is gone"):
        bank.lease("b", folders[1])
    assert bank.resident == ("a",)
    memory.broken = False
    bank.lease("b", folders[1])
    assert bank.resident == ("a", "b")


def test_an_adapter_is_leased_only_when_all_of_it_is_there(
    bank: AdapterBank, memory: WatchedMemory, folders: list[Path]
) -> None:
    bank.lease("a", folders[0]).release()
    memory.gate.clear()
    memory.writing.clear()
    with ThreadPoolExecutor(2) as pool:
        loading = pool.submit(bank.lease, "b", folders[1])
        assert memory.writing.wait(timeout=10)
        waiting = pool.submit(bank.lease, "b", folders[1])
        assert bank.resident == ("a",)
        bank.lease("a", folders[0]).release()  # those that are there are given meanwhile
        assert not loading.done()
        assert not waiting.done()
        memory.gate.set()
        assert loading.result(timeout=10).slot == waiting.result(timeout=10).slot
    assert bank.counts.loads == 2


def test_many_threads_get_what_they_asked_for(
    bank: AdapterBank, memory: WatchedMemory, folders: list[Path], tmp_path: Path
) -> None:
    expected = []
    for folder in folders:
        with bank.lease(folder.name, folder) as lease:
            expected.append(memory.content[TARGETS[1].up][lease.slot].copy())

    def asked(turn: int) -> bool:
        one = turn % len(folders)
        try:
            with bank.lease(folders[one].name, folders[one]) as lease:
                found = memory.content[TARGETS[1].up][lease.slot]
                return np.array_equal(found, expected[one])
        except Overloaded:
            return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(asked, range(200), timeout=60))
    assert bank.counts.leased == 0
    assert bank.counts.loads - bank.counts.evictions == bank.counts.resident


def test_targets_outlive_their_text() -> None:
    assert targets_from_text(targets_to_text(TARGETS)) == TARGETS


def test_the_memory_says_its_size() -> None:
    one_slot = 3 * RANK * (WIDTH + 8) + RANK * (4 + WIDTH)
    assert SHAPE.bytes == 3 * one_slot * 4
