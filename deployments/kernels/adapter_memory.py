"""Where the adapters of a running model lie: slots in tensors that its graph reads.

Slot 0 is the base and stays zero. Whoever writes a slot sees to it that no running row
has it; which adapter is in which slot is the bank's affair (`adapters.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from bestiary.errors import KernelError
from deployments.kernels import decoder_names as names
from deployments.kernels.adapter_targets import Target, targets_from_text
from deployments.kernels.device_copy import Copier
from deployments.kernels.kv_pool import ELEMENT_TYPES
from deployments.kernels.providers import ProviderChoice

Array = NDArray[np.generic]
Dimensions = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class AdapterLimits:
    """How many adapters lie in memory at once, and the most rank that one may have."""

    count: int
    rank: int


@dataclass(frozen=True, slots=True)
class AdapterShape:
    targets: tuple[Target, ...]
    limits: AdapterLimits
    dtype: np.dtype[np.generic]

    @property
    def slots(self) -> int:
        """With the base's."""
        return self.limits.count + 1

    @property
    def inputs(self) -> dict[str, Dimensions]:
        """Of the graph: name -> [slots, rank, width]."""
        return {name: (self.slots, rank, width) for name, _, rank, width in self._slots()}

    @property
    def bytes(self) -> int:
        return sum(math.prod(shape) for shape in self.inputs.values()) * self.dtype.itemsize

    def places(self, first_slot: int, address_of: Callable[[str], int]) -> Iterator[Place]:
        """All inputs, each from its slot `first_slot` on; `address_of` slot 0 of one."""
        for name, outer, rank, width in self._slots():
            skipped = first_slot * rank * width * self.dtype.itemsize
            yield Place(name, outer, rank, width, address_of(name) + skipped)

    def _slots(self) -> Iterator[tuple[str, tuple[int, ...], int, int]]:
        """Of every input, as a place has them: name, outer dimensions, rank and width."""
        for target in self.targets:
            rank = len(target.parts) * self.limits.rank
            yield target.down, (1,), rank, target.width
            yield target.up, (1, 1), rank, target.out


@dataclass(frozen=True, slots=True)
class Place:
    """Where the slots from one on begin, of what one input of the graph reads."""

    name: str
    outer: tuple[int, ...]  # dimensions of one before that of slots, see `adapter_graph.py`
    rank: int  # a slot is [rank, width]
    width: int
    address: int


class AdapterMemory(Protocol):
    @property
    def shape(self) -> AdapterShape: ...

    @property
    def device(self) -> str:
        """As ONNX Runtime names it: cpu or cuda."""
        ...

    def places(self, first_slot: int) -> Iterator[Place]: ...

    def write(self, slot: int, name: str, values: Array) -> None:
        """One slot [rank, width] of one input."""
        ...


class HostAdapters:
    """In the process's own memory."""

    device = "cpu"

    def __init__(self, shape: AdapterShape) -> None:
        self.shape = shape
        self._tensors = {name: np.zeros(size, shape.dtype) for name, size in shape.inputs.items()}

    def places(self, first_slot: int) -> Iterator[Place]:
        return self.shape.places(first_slot, lambda name: self._tensors[name].ctypes.data)

    def write(self, slot: int, name: str, values: Array) -> None:
        self._tensors[name][slot] = values


class DeviceAdapters:
    """In a device's memory. Written for CUDA and run in tests on the CPU provider."""

    def __init__(self, shape: AdapterShape, device: str, choice: ProviderChoice) -> None:
        self.shape = shape
        self.device = device
        self._copier = Copier(shape.dtype, device, choice)
        self._tensors = {
            name: ort.OrtValue.ortvalue_from_shape_and_type(list(size), shape.dtype.type, device, 0)
            for name, size in shape.inputs.items()
        }
        for name, (_, rank, width) in shape.inputs.items():
            self.write(0, name, np.zeros((rank, width), shape.dtype))

    def places(self, first_slot: int) -> Iterator[Place]:
        return self.shape.places(first_slot, lambda name: int(self._tensors[name].data_ptr()))

    def write(self, slot: int, name: str, values: Array) -> None:
        content = np.ascontiguousarray(values, self.shape.dtype)
        place = int(self._tensors[name].data_ptr()) + slot * content.nbytes
        self._copier.to_device(content, place)


def adapter_shape(session: ort.InferenceSession, limits: AdapterLimits) -> AdapterShape:
    """What the graph's adapters need. Raises KernelError where it was built to take none."""
    stated = session.get_modelmeta().custom_metadata_map.get(names.ADAPTERS)
    if stated is None:
        raise KernelError("the graph was built without adapters")
    if limits.count < 1 or limits.rank < 1:
        raise KernelError(f"{limits.count} adapters of rank {limits.rank} are none")
    targets = targets_from_text(stated)
    types = {value.name: value.type for value in session.get_inputs()}
    return AdapterShape(targets, limits, ELEMENT_TYPES[types[targets[0].down]])
