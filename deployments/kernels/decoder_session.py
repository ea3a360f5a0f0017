"""One open language model: its sessions, its KV pool, and nothing of who is in which row.

The only file that knows how ONNX Runtime runs a decoder. It knows token ids and
rows; requests, sampling and scheduling are `deployments/text`'s.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from bestiary.errors import KernelError
from deployments.kernels import decoder_names as names
from deployments.kernels.adapter_memory import AdapterMemory
from deployments.kernels.adapter_table import adapter_table
from deployments.kernels.decoder_names import Graph
from deployments.kernels.kv_pool import ELEMENT_TYPES, KvPool, KvTokens, PoolShape
from deployments.kernels.prompt_session import PromptPart, PromptSession

WIDE = 64  # logits of one run that a shared buffer holds
BINDINGS = 128  # kept; beyond it the one used longest ago is made again when needed

# Graph, first row, rows, new tokens per row, wanted logits per row, slots of adapters.
BindingKey = tuple[Graph, int, int, int, int, tuple[int, ...]]


def pool_shape(session: ort.InferenceSession, slots: int, max_length: int) -> PoolShape:
    """What the graph's keys and values need. Raises KernelError over the graph's positions."""
    positions = int(session.get_modelmeta().custom_metadata_map[names.POSITIONS])
    if max_length > positions:
        raise KernelError(f"the graph was built for {positions} tokens, not {max_length}")
    caches = [value for value in session.get_inputs() if value.name.startswith(names.PAST)]
    _, kv_heads, _, head_dim = caches[0].shape
    dtype = ELEMENT_TYPES[caches[0].type]
    return PoolShape(len(caches), slots, kv_heads, max_length, head_dim, dtype)


@dataclass(frozen=True, slots=True)
class _Binding:
    """Buffers that one shape of run reads and writes, bound once."""

    session: ort.InferenceSession
    bound: ort.IOBinding
    token_ids: NDArray[np.int64]  # [B, S]
    lengths: NDArray[np.int32]  # [B]
    longest: NDArray[np.int32]  # []
    logits: NDArray[np.float32]  # [B * K, V]


class DecoderSession:
    """Runs token ids against rows of a KV pool. Not thread-safe: one thread calls it.

    `others` are further builds of the same model that fill the same pool; where there
    is none for a `Graph`, the one that decodes does its work. `adapters` is where their
    adapters lie, if they were built to take any. `prompts` reads prompts instead of
    all of them, several at once, in rows without adapters.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        pool: KvPool,
        others: Mapping[Graph, ort.InferenceSession] | None = None,
        adapters: AdapterMemory | None = None,
        prompts: PromptSession | None = None,
    ) -> None:
        self.adapters = adapters
        self._prompts = prompts
        for one in (session, *(others or {}).values()):
            _check_takes(one, adapters)
        self.slots = pool.shape.slots
        self.max_length = pool.shape.max_length
        self.vocabulary: int = next(
            value.shape[1] for value in session.get_outputs() if value.name == names.LOGITS
        )
        self._sessions = dict.fromkeys(Graph, session) | dict(others or {})
        self._graphs = (Graph.DECODE, *(others or {}))  # those that have a session of their own
        self._pool = pool
        self._logits = np.zeros((self.slots, self.vocabulary), np.float32)
        self._wide = np.zeros((WIDE, self.vocabulary), np.float32)
        self._bindings: OrderedDict[BindingKey, _Binding] = OrderedDict()

    @property
    def reads_together(self) -> bool:
        """Whether several prompts are read in one run."""
        return self._prompts is not None

    @property
    def kv_bytes(self) -> int:
        """Size of the pool, full."""
        return self._pool.shape.bytes

    def run(
        self,
        first_row: int,
        token_ids: NDArray[np.int64],
        past: NDArray[np.int32],
        graph: Graph = Graph.DECODE,
        *,
        every: bool = False,
        adapters: NDArray[np.int64] | None = None,
    ) -> NDArray[np.float32]:
        """Appends `token_ids` [B, S] to the rows from `first_row` on; logits [B, V].

        `past` [B] is how many tokens each row holds before. B > 1 requires S == 1.
        The logits are those of each row's last position, or with `every` of all S
        positions [B * S, V], in a buffer that a later run writes over. `adapters` [B]
        is each row's slot; None, or 0: the base alone.
        Raises ValueError where rows, lengths or adapters do not fit the session.
        """
        rows, tokens = token_ids.shape
        self._check(first_row, rows, tokens, past)
        slots = np.zeros(rows, np.int64) if adapters is None else adapters
        self._check_adapters(slots, rows)
        wanted = tokens if every else 1
        key = (graph, first_row, rows, tokens, wanted, tuple(slots.tolist()))
        binding = self._binding(key)
        binding.token_ids[...] = token_ids
        np.add(past, tokens - 1, out=binding.lengths)
        binding.longest[...] = binding.lengths.max() + 1
        binding.session.run_with_iobinding(binding.bound)
        return binding.logits

    def read(
        self, parts: Sequence[PromptPart], *, every: bool = False, adapter: int = 0
    ) -> NDArray[np.float32]:
        """Appends each part's tokens to its row; logits [B, V] at each part's last token.

        B > 1 where `reads_together`, and no row has an `adapter`. With `every`, of one part
        alone, the logits of all its tokens [S, V]. They are in a buffer that a later run
        writes over. Raises ValueError as `run` does.
        """
        if self._prompts is not None and not adapter:
            return self._prompts.read(parts, every=every)
        if len(parts) > 1:
            raise ValueError(f"{len(parts)} prompts at once: this graph reads one at a time")
        (part,) = parts
        return self.run(
            part.row,
            part.token_ids[np.newaxis],
            np.array([part.past], np.int32),
            Graph.PREFILL,
            every=every,
            adapters=np.array([adapter], np.int64) if adapter else None,
        )

    def run_extremes(self, prompt_run: int) -> None:
        """Runs every graph on the shapes between which all others lie; rows must be free.

        `prompt_run`: the most tokens that one row will take in a run.
        """
        slots = [0] if self.adapters is None else [0, self.adapters.shape.slots - 1]
        for graph, adapter in itertools.product(self._graphs, slots):
            for rows, tokens, every in extremes(self.slots, prompt_run):
                self.run(
                    0,
                    np.zeros((rows, tokens), np.int64),
                    np.zeros(rows, np.int32),
                    graph,
                    every=every,
                    adapters=np.full(rows, adapter, np.int64),
                )

    def move_row(self, source: int, target: int, length: int) -> None:
        """Copies the first `length` tokens of a row over another row."""
        self._pool.move_row(source, target, length)

    def copy_out(self, row: int, start: int, stop: int, out: KvTokens | None = None) -> KvTokens:
        """Tokens `start..stop` of a row: [2 * layers, kv_heads, tokens, head_dim], a copy.

        In `out` where there is one.
        """
        return self._pool.copy_out(row, start, stop, out)

    def copy_in(self, row: int, start: int, tokens: KvTokens) -> None:
        """Writes what `copy_out` gave to a row, from its token `start` on."""
        self._pool.copy_in(row, start, tokens)

    def _check(self, first_row: int, rows: int, tokens: int, past: NDArray[np.int32]) -> None:
        if rows > 1 and tokens > 1:
            raise ValueError(f"{rows} rows with {tokens} tokens each: only one row can take many")
        if not 0 <= first_row <= self.slots - rows:
            raise ValueError(f"rows {first_row}..{first_row + rows} are not in {self.slots} slots")
        if past.min() < 0 or past.max() + tokens > self.max_length:
            raise ValueError(f"{past.max()} + {tokens} tokens are over {self.max_length}")

    def _check_adapters(self, adapters: NDArray[np.int64], rows: int) -> None:
        slots = 1 if self.adapters is None else self.adapters.shape.slots
        if adapters.shape != (rows,):
            raise ValueError(f"adapters of shape {adapters.shape} for {rows} rows")
        if adapters.min() < 0 or adapters.max() >= slots:
            raise ValueError(f"adapter {adapters.max()} is not in {slots} slots")

    def _binding(self, key: BindingKey) -> _Binding:
        found = self._bindings.get(key)
        if found is None:
            found = self._bindings[key] = self._bind(*key)
            if len(self._bindings) > BINDINGS:
                self._bindings.popitem(last=False)
        self._bindings.move_to_end(key)
        return found

    def _bind(
        self,
        graph: Graph,
        first_row: int,
        rows: int,
        tokens: int,
        wanted: int,
        slots: tuple[int, ...],
    ) -> _Binding:
        session = self._sessions[graph]
        binding = _Binding(
            session=session,
            bound=session.io_binding(),
            token_ids=np.zeros((rows, tokens), np.int64),
            lengths=np.zeros(rows, np.int32),
            longest=np.zeros((), np.int32),
            logits=self._logits_for(first_row, rows, wanted),
        )
        positions = np.arange(tokens - wanted, tokens, dtype=np.int64)
        all_wanted = np.tile(positions[:, np.newaxis], (rows, 1, 1))
        # Written once, so ONNX Runtime may keep its own copy where the model runs.
        binding.bound.bind_cpu_input(names.WANTED, all_wanted)
        _bind_input(binding.bound, names.IDS, binding.token_ids)
        _bind_input(binding.bound, names.LENGTHS, binding.lengths)
        _bind_input(binding.bound, names.LONGEST, binding.longest)
        _bind_output(binding.bound, names.LOGITS, binding.logits)
        self._bind_caches(binding.bound, first_row, rows)
        if self.adapters is not None:
            _bind_adapters(binding.bound, np.array(slots), self.adapters)
        return binding

    def _logits_for(self, first_row: int, rows: int, wanted: int) -> NDArray[np.float32]:
        """Bindings share buffers: whoever wants many logits per row would fill the memory."""
        if wanted == 1:
            return self._logits[first_row : first_row + rows]
        if rows * wanted > len(self._wide):
            return np.zeros((rows * wanted, self.vocabulary), np.float32)
        return self._wide[: rows * wanted]

    def _bind_caches(self, bound: ort.IOBinding, first_row: int, rows: int) -> None:
        pool = self._pool
        shape = [rows, *pool.shape.row]
        for cache in range(pool.shape.caches):
            layer, part = divmod(cache, len(names.PARTS))
            place = (pool.device, 0, pool.shape.dtype.type, shape, pool.address(cache, first_row))
            bound.bind_input(names.past(layer, names.PARTS[part]), *place)
            bound.bind_output(names.present(layer, names.PARTS[part]), *place)


def extremes(slots: int, prompt_run: int) -> tuple[tuple[int, int, bool], ...]:
    """Rows, tokens of each, and whether all logits are wanted."""
    wide = min(WIDE, prompt_run)
    return (1, 1, False), (slots, 1, False), (1, prompt_run, False), (1, wide, True)


def _check_takes(session: ort.InferenceSession, adapters: AdapterMemory | None) -> None:
    """Raises KernelError where a graph and its memory do not agree about adapters."""
    takes = names.ADAPTERS in session.get_modelmeta().custom_metadata_map
    if takes and adapters is None:
        raise KernelError("a graph that takes adapters has no memory for them")
    if adapters is not None and not takes:
        raise KernelError("the graph was built without adapters")


def _bind_adapters(bound: ort.IOBinding, slots: NDArray[np.int64], memory: AdapterMemory) -> None:
    table = adapter_table(slots)
    filled = table.filled.astype(memory.shape.dtype)[np.newaxis, :, :, np.newaxis, np.newaxis]
    # Written once, as the wanted positions are.
    bound.bind_cpu_input(names.ADAPTER_MEMBERS, table.members)
    bound.bind_cpu_input(names.ADAPTER_FILLED, filled)
    bound.bind_cpu_input(names.ADAPTER_PLACES, table.places)
    for place in memory.places(table.first_slot):
        # Without adapters one row of the base's slot, which is zero, is enough.
        rank = 1 if table.is_plain else place.rank
        shape = (*place.outer, len(table.members), 1, rank, place.width)
        where = (memory.device, 0, memory.shape.dtype.type, shape, place.address)
        bound.bind_input(place.name, *where)


def _bind_input(bound: ort.IOBinding, name: str, value: NDArray[np.generic]) -> None:
    bound.bind_input(name, "cpu", 0, value.dtype.type, value.shape, value.ctypes.data)


def _bind_output(bound: ort.IOBinding, name: str, value: NDArray[np.generic]) -> None:
    bound.bind_output(name, "cpu", 0, value.dtype.type, value.shape, value.ctypes.data)
