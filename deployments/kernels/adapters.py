"""Which adapter is in which slot: loaded when asked for, evicted when nobody needs it.

A row runs with a slot only while it holds a lease, so no slot changes under a row. An
adapter is leased only when all of it is in its slot. Knows no request and no token.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from bestiary.errors import KernelError, Overloaded
from deployments.kernels.adapter_files import LowRank, read_adapter
from deployments.kernels.adapter_memory import AdapterMemory
from deployments.kernels.adapter_targets import Target

BASE_SLOT = 0
RETRY_AFTER_S = 1.0

Values = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class AdapterCounts:
    """Since the bank was opened; `resident` and `leased` are of now."""

    loads: int
    evictions: int
    resident: int  # adapters in slots
    leased: int  # of them, those that a row uses


@dataclass(slots=True)
class _Resident:
    slot: int
    leases: int


class Lease:
    """A slot that keeps its adapter until `release`, which may be called again."""

    def __init__(self, bank: AdapterBank, name: str, slot: int) -> None:
        self.slot = slot
        self.name = name
        self._bank = bank
        self._held = True

    def release(self) -> None:
        held, self._held = self._held, False
        if held:
            self._bank._release(self.name)

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


class AdapterBank:
    """The adapters in one model's memory. Any thread may call it, while the model runs."""

    def __init__(self, memory: AdapterMemory) -> None:
        self._memory = memory
        self._loading = threading.Lock()  # held over a whole load; taken before `_table`
        self._table = threading.Lock()  # held for moments, over all that follows
        self._free = list(range(memory.shape.slots - 1, BASE_SLOT, -1))
        self._residents: OrderedDict[str, _Resident] = OrderedDict()  # longest unused first
        self._loads = 0
        self._evictions = 0
        self._tell_of_room: Callable[[], None] | None = None

    @property
    def counts(self) -> AdapterCounts:
        with self._table:
            leased = sum(resident.leases > 0 for resident in self._residents.values())
            return AdapterCounts(self._loads, self._evictions, len(self._residents), leased)

    @property
    def resident(self) -> tuple[str, ...]:
        """Names, the one that was asked for longest ago first."""
        with self._table:
            return tuple(self._residents)

    def when_room(self, tell: Callable[[], None] | None) -> None:
        """`tell` is called, in whatever thread, whenever a slot may be had that was not before.

        It must not block, nor lease. None: nobody wants to know any more.
        """
        self._tell_of_room = tell

    def lease_resident(self, name: str) -> Lease | None:
        """The slot of an adapter that is in one; None where it has to be loaded. Never blocks."""
        with self._table:
            resident = self._residents.get(name)
            if resident is None:
                return None
            resident.leases += 1
            self._residents.move_to_end(name)
            return Lease(self, name, resident.slot)

    def lease(self, name: str, folder: Path) -> Lease:
        """The slot of an adapter, which `folder` holds as peft saved it.

        `name` stands for its content: another version needs another name. Reads files
        where the adapter is in no slot, so call it in a thread.

        Raises KernelError for an adapter that this model cannot take, and Overloaded
        where rows use all slots; what was in the slots stays there then.
        """
        found = self.lease_resident(name)
        if found is not None:
            return found
        with self._loading:
            found = self.lease_resident(name)  # another thread's load, which we waited for
            return found or self._load(name, folder)

    def _load(self, name: str, folder: Path) -> Lease:
        self._check_room()  # before files are read for nothing
        contents = list(_slot_contents(read_adapter(folder), self._memory, folder))
        slot = self._take_slot()
        try:
            for input_name, values in contents:
                self._memory.write(slot, input_name, values)
        except BaseException:
            with self._table:
                self._free.append(slot)
            self._there_is_room()
            raise
        with self._table:
            self._residents[name] = _Resident(slot, leases=1)
            self._loads += 1
        return Lease(self, name, slot)

    def _check_room(self) -> None:
        with self._table:
            if not self._free:
                self._longest_unused()

    def _take_slot(self) -> int:
        """A free slot, or that of the adapter which nobody has used for longest."""
        with self._table:
            if self._free:
                return self._free.pop()
            name = self._longest_unused()
            self._evictions += 1
            return self._residents.pop(name).slot

    def _longest_unused(self) -> str:
        """Under the table's lock. Raises Overloaded where rows use every adapter."""
        unused = (name for name, resident in self._residents.items() if not resident.leases)
        name = next(unused, None)
        if name is None:
            raise Overloaded(f"all {len(self._residents)} adapters are in use", RETRY_AFTER_S)
        return name

    def _release(self, name: str) -> None:
        with self._table:
            resident = self._residents[name]
            resident.leases -= 1
            unused = not resident.leases
        if unused:
            self._there_is_room()

    def _there_is_room(self) -> None:
        tell = self._tell_of_room
        if tell is not None:
            tell()


def _slot_contents(
    adapter: Mapping[str, LowRank], memory: AdapterMemory, folder: Path
) -> Iterator[tuple[str, Values]]:
    """Every input of the graph and what a slot of it holds; zeros where nothing is added.

    Raises KernelError where the adapter does not fit the model.
    """
    targets, limit = memory.shape.targets, memory.shape.limits.rank
    known = {module for target in targets for module, _ in target.parts}
    strange = sorted(set(adapter) - known)
    if strange:
        raise KernelError(f"{folder}: adapters cannot change {strange[0]!r} in this model")
    for target in targets:
        yield from _target_contents(adapter, target, limit, folder)


def _target_contents(
    adapter: Mapping[str, LowRank], target: Target, limit: int, folder: Path
) -> Iterator[tuple[str, Values]]:
    down = np.zeros((len(target.parts) * limit, target.width), np.float32)
    up = np.zeros((len(target.parts) * limit, target.out), np.float32)
    column = 0
    for part, (module, out) in enumerate(target.parts):
        added = adapter.get(module)
        if added is not None:
            rank = len(added.down)
            if rank > limit:
                raise KernelError(f"{folder}: a rank of {rank} is over this model's {limit}")
            if added.down.shape[1] != target.width or added.up.shape[1] != out:
                raise KernelError(
                    f"{folder}: {module!r} takes {added.down.shape[1]} values and gives "
                    f"{added.up.shape[1]}; this model's takes {target.width} and gives {out}"
                )
            row = part * limit
            down[row : row + rank] = added.down
            up[row : row + rank, column : column + out] = added.up
        column += out
    yield target.down, down
    yield target.up, up
