"""Who waits for an adapter's slot gets it in turn, or gives the place up; nothing leaks."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from bestiary.errors import DeadlineExceeded, EngineFailure, KernelError, Overloaded, Unavailable
from bestiary.schemas.text import Adapter
from deployments.kernels.adapter_memory import AdapterLimits, AdapterShape, HostAdapters
from deployments.kernels.adapter_targets import Target
from deployments.kernels.adapters import AdapterBank, Lease
from deployments.text.adapter_line import AdapterLine

SLOTS = 2
TARGET = Target("layer.o", 4, (("layer.o", 4),))
MOST_WAITING = 8
NEVER = float("inf")


class BreakingMemory(HostAdapters):
    broken = False

    def write(self, slot: int, name: str, values: np.ndarray) -> None:
        if self.broken and name == TARGET.up:
            raise OSError("the device is gone")
        super().write(slot, name, values)


@pytest.fixture
def memory() -> BreakingMemory:
    limits = AdapterLimits(SLOTS, rank=2)
    return BreakingMemory(AdapterShape((TARGET,), limits, np.dtype(np.float32)))


@pytest.fixture
def bank(memory: BreakingMemory) -> AdapterBank:
    return AdapterBank(memory)


@pytest.fixture
async def line(bank: AdapterBank) -> AsyncIterator[AdapterLine]:
    made = AdapterLine(bank, MOST_WAITING, patience_s=60)
    yield made
    await made.close()


@pytest.fixture
def adapters(tmp_path: Path) -> dict[str, Adapter]:
    return {name: Adapter(name=name, folder=saved(tmp_path / name)) for name in "abcdef"}


def saved(folder: Path) -> Path:
    folder.mkdir()
    name = f"base_model.model.{TARGET.parts[0][0]}"
    matrix = np.ones((2, 4), np.float32)
    tensors = {f"{name}.lora_A.weight": matrix, f"{name}.lora_B.weight": matrix.T.copy()}
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 2}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def asked(line: AdapterLine, adapter: Adapter, within_s: float = NEVER) -> asyncio.Task[Lease]:
    return asyncio.create_task(line.lease(adapter, asyncio.get_running_loop().time() + within_s))


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.001)


async def full(line: AdapterLine, adapters: dict[str, Adapter]) -> list[Lease]:
    """Both slots in use, by `a` and `b`."""
    return [await asked(line, adapters[name]) for name in "ab"]


async def queued(
    line: AdapterLine, adapters: dict[str, Adapter], names: str
) -> list[asyncio.Task[Lease]]:
    """They stand in line, in this order."""
    waiting = line.waiting
    tasks = [asked(line, adapters[name]) for name in names]
    await until(lambda: line.waiting == waiting + len(names))
    return tasks


async def test_more_adapters_than_slots_are_served_in_the_order_in_which_they_came(
    line: AdapterLine, adapters: dict[str, Adapter]
) -> None:
    held = await full(line, adapters)
    tasks = await queued(line, adapters, "dcfe")
    for turn, task in enumerate(tasks):
        assert not any(later.done() for later in tasks[turn:])
        held.pop(0).release()
        held.append(await asyncio.wait_for(task, 10))
    assert [lease.name for lease in held] == ["f", "e"]
    assert line.waiting == 0


async def test_a_slot_that_comes_free_in_another_thread_wakes_the_line(
    line: AdapterLine, adapters: dict[str, Adapter]
) -> None:
    first, _ = await full(line, adapters)
    (task,) = await queued(line, adapters, "c")
    await asyncio.to_thread(first.release)
    assert (await asyncio.wait_for(task, 10)).slot == first.slot


async def test_everyone_who_waits_for_an_adapter_shares_its_load(
    line: AdapterLine, bank: AdapterBank, adapters: dict[str, Adapter]
) -> None:
    first, second = await full(line, adapters)
    tasks = await queued(line, adapters, "cdcc")
    first.release()
    leases = [await asyncio.wait_for(tasks[place], 10) for place in (0, 2, 3)]
    assert {lease.slot for lease in leases} == {first.slot}
    assert bank.counts.loads == 3
    for lease in leases[1:]:
        lease.release()
    assert not tasks[1].done()  # one of them still has the slot
    second.release()
    assert (await asyncio.wait_for(tasks[1], 10)).name == "d"


async def test_whoever_waits_to_the_deadline_is_told_and_holds_up_nobody(
    line: AdapterLine, adapters: dict[str, Adapter]
) -> None:
    first, _ = await full(line, adapters)
    late = asked(line, adapters["c"], within_s=0.05)
    (other,) = await queued(line, adapters, "d")
    with pytest.raises(DeadlineExceeded, match="its adapter's slot"):
        await late
    assert line.waiting == 1
    first.release()
    assert (await asyncio.wait_for(other, 10)).name == "d"


@pytest.mark.parametrize("gone", [0, 1])
async def test_whoever_goes_away_gives_the_place_up(
    line: AdapterLine, bank: AdapterBank, adapters: dict[str, Adapter], gone: int
) -> None:
    first, _ = await full(line, adapters)
    tasks = await queued(line, adapters, "cd")
    tasks[gone].cancel()
    await until(lambda: line.waiting == 1)
    first.release()
    lease = await asyncio.wait_for(tasks[1 - gone], 10)
    assert lease.name == "dc"[gone]
    assert bank.counts.loads == 3


async def test_a_slot_for_one_who_goes_away_in_that_very_moment_is_given_back(
    line: AdapterLine, bank: AdapterBank, adapters: dict[str, Adapter]
) -> None:
    first, _ = await full(line, adapters)
    (task,) = await queued(line, adapters, "c")
    first.release()
    while line.waiting:  # noqa: ASYNC110 - between two turns of the loop: granted, not yet told
        await asyncio.sleep(0)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert bank.resident == ("b", "c")
    assert bank.counts.leased == 1


async def test_one_of_several_who_want_an_adapter_goes_away_alone(
    line: AdapterLine, adapters: dict[str, Adapter]
) -> None:
    first, _ = await full(line, adapters)
    tasks = await queued(line, adapters, "cdc")
    tasks[0].cancel()
    await until(lambda: line.waiting == 2)
    first.release()
    assert (await asyncio.wait_for(tasks[2], 10)).name == "c"  # in its old place
    assert not tasks[1].done()


async def test_too_many_are_not_let_wait(line: AdapterLine, adapters: dict[str, Adapter]) -> None:
    await full(line, adapters)
    tasks = await queued(line, adapters, "cd" * (MOST_WAITING // 2))
    with pytest.raises(Overloaded, match="waiting for an adapter's slot") as refused:
        await asked(line, adapters["e"])
    assert refused.value.retry_after_s > 0
    assert not any(task.done() for task in tasks)


async def test_an_adapter_that_is_in_a_slot_passes_the_line(
    line: AdapterLine, adapters: dict[str, Adapter]
) -> None:
    first, _ = await full(line, adapters)
    (task,) = await queued(line, adapters, "c")
    assert (await asked(line, adapters["a"])).slot == first.slot
    assert not task.done()


async def test_nobody_passes_one_that_has_waited_for_long(
    bank: AdapterBank, adapters: dict[str, Adapter]
) -> None:
    line = AdapterLine(bank, MOST_WAITING, patience_s=0)
    first, second = await full(line, adapters)
    quiet, busy = await queued(line, adapters, "cb")
    first.release()
    assert (await asyncio.wait_for(quiet, 10)).slot == first.slot
    assert (await asyncio.wait_for(busy, 10)).slot == second.slot  # then, and without a load
    assert bank.counts.loads == 3
    await line.close()


async def test_a_damaged_adapter_is_refused_to_all_who_want_it_and_takes_no_slot(
    line: AdapterLine, bank: AdapterBank, adapters: dict[str, Adapter]
) -> None:
    weights = adapters["c"].folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    first, _ = await full(line, adapters)
    *damaged, good = await queued(line, adapters, "ccd")
    first.release()
    assert (await asyncio.wait_for(good, 10)).name == "d"
    for task in damaged:
        with pytest.raises(KernelError, match="no readable adapter_model"):
            await task
    assert set(bank.resident) == {"b", "d"}


async def test_a_load_that_breaks_off_leaves_its_slot_to_the_next(
    line: AdapterLine, bank: AdapterBank, memory: BreakingMemory, adapters: dict[str, Adapter]
) -> None:
    await asked(line, adapters["a"])
    memory.broken = True
    with pytest.raises(EngineFailure, match="loading the adapter failed: OSError"):
        await asked(line, adapters["b"])
    memory.broken = False
    assert bank.resident == ("a",)
    assert (await asked(line, adapters["c"])).name == "c"
    assert bank.counts.evictions == 0


async def test_closing_ends_those_who_wait(line: AdapterLine, adapters: dict[str, Adapter]) -> None:
    await full(line, adapters)
    tasks = await queued(line, adapters, "cde")
    await line.close()
    for task in tasks:
        with pytest.raises(Unavailable):
            await task
    with pytest.raises(Unavailable):
        await line.lease(adapters["a"], NEVER)


async def test_nothing_leaks_where_callers_come_and_go(
    bank: AdapterBank, adapters: dict[str, Adapter]
) -> None:
    """Cancelled and late in whatever moment."""
    line = AdapterLine(bank, most_waiting=1000, patience_s=0.01)
    chance = random.Random(7)
    served: list[str] = []

    async def use(name: str) -> None:
        with await line.lease(adapters[name], asyncio.get_running_loop().time() + 0.2) as lease:
            assert lease.name == name
            served.append(name)
            await asyncio.sleep(chance.random() * 0.003)

    tasks = []
    for _ in range(400):
        tasks.append(asyncio.create_task(use(chance.choice("abcdef"))))
        chance.choice(tasks).cancel()
        if chance.random() < 0.3:
            await asyncio.sleep(chance.random() * 0.004)
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    strange = [
        one
        for one in outcomes
        if one is not None and not isinstance(one, asyncio.CancelledError | DeadlineExceeded)
    ]
    assert not strange
    assert len(set(served)) == len(adapters)
    assert line.waiting == 0
    assert bank.counts.leased == 0
    await line.close()
