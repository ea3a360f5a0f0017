"""One open language model: its session, its KV pool, and nothing of who is in which row.

The only file that knows how ONNX Runtime runs a decoder. It knows token ids and
rows; requests, sampling and scheduling are `deployments/text`'s.
"""

from __future__ import annotations

import math
import mmap
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from bestiary.errors import KernelError
from deployments.kernels import decoder_names as names

BINDINGS = 128  # kept; beyond it the one used longest ago is made again when needed

BindingKey = tuple[int, int, int]  # first row, rows, new tokens per row


@dataclass(frozen=True, slots=True)
class _Binding:
    """Buffers that one (rows, tokens) shape reads and writes, bound once."""

    bound: ort.IOBinding
    token_ids: NDArray[np.int64]  # [B, S]
    lengths: NDArray[np.int32]  # [B]
    longest: NDArray[np.int32]  # []
    last: NDArray[np.int64]  # [B, 1]
    logits: NDArray[np.float32]  # [B, V]


class DecoderSession:
    """Runs token ids against rows of a KV pool. Not thread-safe: one thread calls it.

    The pool is float32 [2 * layers, slots, kv_heads, max_length, head_dim]; keys and
    values of a layer lie side by side. Memory is touched only as rows fill.
    """

    def __init__(self, session: ort.InferenceSession, slots: int, max_length: int) -> None:
        """Raises KernelError where the graph does not cover `max_length` tokens."""
        shapes = {value.name: value.shape for value in session.get_inputs()}
        _, kv_heads, _, head_dim = shapes[names.past(0, "key")]
        caches = sum(name.startswith(names.PAST) for name in shapes)
        positions = int(session.get_modelmeta().custom_metadata_map[names.POSITIONS])
        if max_length > positions:
            raise KernelError(f"the graph was built for {positions} tokens, not {max_length}")
        self.slots = slots
        self.max_length = max_length
        self.vocabulary: int = next(
            value.shape[1] for value in session.get_outputs() if value.name == names.LOGITS
        )
        self._session = session
        self._pool = _untouched((caches, slots, kv_heads, max_length, head_dim))
        self._logits = np.zeros((slots, self.vocabulary), np.float32)
        self._bindings: OrderedDict[BindingKey, _Binding] = OrderedDict()

    @property
    def kv_bytes(self) -> int:
        """Size of the pool, full."""
        return self._pool.nbytes

    def run(
        self,
        first_row: int,
        token_ids: NDArray[np.int64],
        past: NDArray[np.int32],
        last: NDArray[np.int64] | None = None,
    ) -> NDArray[np.float32]:
        """Appends `token_ids` [B, S] to the rows from `first_row` on; logits [B, V].

        `past` [B] is how many tokens each row holds before. B > 1 requires S == 1.
        `last` [B] says which of the S positions the logits are for; by default the last.
        The logits are a buffer that the next run writes over.
        Raises ValueError where rows or lengths do not fit the pool.
        """
        rows, tokens = token_ids.shape
        self._check(first_row, rows, tokens, past)
        binding = self._binding((first_row, rows, tokens))
        binding.token_ids[...] = token_ids
        np.add(past, tokens - 1, out=binding.lengths)
        binding.longest[...] = binding.lengths.max() + 1
        binding.last[:, 0] = tokens - 1 if last is None else last
        self._session.run_with_iobinding(binding.bound)
        return binding.logits

    def move_row(self, source: int, target: int, length: int) -> None:
        """Copies the first `length` tokens of a row over another row."""
        self._pool[:, target, :, :length] = self._pool[:, source, :, :length]

    def copy_out(self, row: int, length: int) -> NDArray[np.float32]:
        """The first `length` tokens of a row: [2 * layers, kv_heads, length, head_dim], a copy."""
        return self._pool[:, row, :, :length].copy()

    def copy_in(self, row: int, tokens: NDArray[np.float32]) -> None:
        """Writes what `copy_out` gave, or its first tokens, to the start of a row."""
        self._pool[:, row, :, : tokens.shape[2]] = tokens

    def _check(self, first_row: int, rows: int, tokens: int, past: NDArray[np.int32]) -> None:
        if rows > 1 and tokens > 1:
            raise ValueError(f"{rows} rows with {tokens} tokens each: only one row can take many")
        if not 0 <= first_row <= self.slots - rows:
            raise ValueError(f"rows {first_row}..{first_row + rows} are not in {self.slots} slots")
        if past.min() < 0 or past.max() + tokens > self.max_length:
            raise ValueError(f"{past.max()} + {tokens} tokens are over {self.max_length}")

    def _binding(self, key: BindingKey) -> _Binding:
        found = self._bindings.get(key)
        if found is None:
            found = self._bindings[key] = self._bind(*key)
            if len(self._bindings) > BINDINGS:
                self._bindings.popitem(last=False)
        self._bindings.move_to_end(key)
        return found

    def _bind(self, first_row: int, rows: int, tokens: int) -> _Binding:
        binding = _Binding(
            bound=self._session.io_binding(),
            token_ids=np.zeros((rows, tokens), np.int64),
            lengths=np.zeros(rows, np.int32),
            longest=np.zeros((), np.int32),
            last=np.zeros((rows, 1), np.int64),
            logits=self._logits[first_row : first_row + rows],
        )
        _bind_input(binding.bound, names.IDS, binding.token_ids)
        _bind_input(binding.bound, names.LENGTHS, binding.lengths)
        _bind_input(binding.bound, names.LONGEST, binding.longest)
        _bind_input(binding.bound, names.LAST, binding.last)
        _bind_output(binding.bound, names.LOGITS, binding.logits)
        for index, cache in enumerate(self._pool[:, first_row : first_row + rows]):
            layer, part = divmod(index, len(names.PARTS))
            _bind_input(binding.bound, names.past(layer, names.PARTS[part]), cache)
            _bind_output(binding.bound, names.present(layer, names.PARTS[part]), cache)
        return binding


def _bind_input(bound: ort.IOBinding, name: str, value: NDArray[np.generic]) -> None:
    bound.bind_input(name, "cpu", 0, value.dtype.type, value.shape, value.ctypes.data)


def _bind_output(bound: ort.IOBinding, name: str, value: NDArray[np.generic]) -> None:
    bound.bind_output(name, "cpu", 0, value.dtype.type, value.shape, value.ctypes.data)


def _untouched(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Zeros whose memory is taken page by page, as rows fill.

    numpy asks for huge pages (MADV_HUGEPAGE) for large arrays: the first token of a row
    would then take 2 MB in every head of every layer, the whole pool at once.
    """
    size = math.prod(shape) * np.dtype(np.float32).itemsize
    memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return np.frombuffer(memory, np.float32).reshape(shape)
