"""One open encoder-decoder: texts in, what the decoder needs of them out; then step by step.

The only file that knows how ONNX Runtime runs these two graphs. It knows token ids and rows;
requests, sampling and beams' scores are `deployments/seq2seq`'s. One thread calls it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import ml_dtypes
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from deployments.kernels import seq2seq_names as names

TYPES: dict[str, np.dtype[np.generic]] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(float16)": np.dtype(np.float16),
    "tensor(bfloat16)": np.dtype(ml_dtypes.bfloat16),
}
GROWTH = 32  # source tokens that a buffer grows by at least


@dataclass(frozen=True, slots=True)
class EncodedSource:
    """What the decoder needs of one text: tensors by name, without padding or batch axis."""

    tokens: int
    cross: dict[str, NDArray[np.generic]]
    state: dict[str, NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class Step:
    """Views that the next step writes over."""

    logits: NDArray[np.float32]  # [G, W, vocabulary]
    attention: NDArray[np.float32] | None  # [G, W, S]


@dataclass(frozen=True, slots=True)
class _Input:
    """An input of the decoder that a buffer stands behind."""

    name: str
    shape: tuple[int | str, ...]
    dtype: np.dtype[np.generic]

    @property
    def source_axis(self) -> int | None:
        """Of the whole tensor, the texts' axis included."""
        found = [i for i, axis in enumerate(self.shape) if axis == names.SOURCE_AXIS]
        return found[0] if found else None

    def sized(self, first: int, source: int, max_length: int) -> tuple[int, ...]:
        named = {names.SOURCE_AXIS: source, names.MAX_LENGTH_AXIS: max_length}
        rest = tuple(named[a] if isinstance(a, str) else a for a in self.shape[1:])
        return (first, *rest)


class Seq2SeqSession:
    """`max_target` bounds a row's tokens: its memory is laid out for so many."""

    def __init__(
        self, encoder: ort.InferenceSession, decoder: ort.InferenceSession, max_target: int
    ) -> None:
        self._encoder = encoder
        self._decoder = decoder
        positions = int(decoder.get_modelmeta().custom_metadata_map[names.POSITIONS])
        self.max_source = positions  # UNLIMITED: any
        self.max_target = min(max_target, positions) if positions else max_target
        shapes = {one.name: one.shape for one in decoder.get_outputs()}
        self.vocabulary: int = shapes[names.LOGITS][1]
        self.shows_attention = names.ATTENTION in shapes

    def encode(self, inputs: Sequence[Sequence[int]]) -> list[EncodedSource]:
        """One padded run. Raises ValueError where a text is empty or over `max_source`."""
        lengths = np.array([len(ids) for ids in inputs], np.int32)
        if lengths.min() < 1 or (self.max_source and lengths.max() > self.max_source):
            raise ValueError(
                f"texts of {lengths.tolist()} tokens; the longest is {self.max_source}"
            )
        padded = np.zeros((len(inputs), lengths.max()), np.int64)
        for row, ids in zip(padded, inputs, strict=True):
            row[: len(ids)] = ids
        declared = self._encoder.get_outputs()
        feed = {names.IDS: padded, names.SOURCE_LENGTHS: lengths}
        takes = {one.name for one in self._encoder.get_inputs()}
        values = self._encoder.run(None, {name: feed[name] for name in takes})
        sources = [EncodedSource(int(tokens), {}, {}) for tokens in lengths]
        for one, value in zip(declared, values, strict=True):
            kept = _Input(one.name, tuple(one.shape), TYPES[one.type])
            for index, source in enumerate(sources):
                where = source.state if one.name.startswith(names.PAST) else source.cross
                where[one.name] = _cut(value[index], kept.source_axis, source.tokens)
        return sources

    def batch(self, beams: int, capacity: int) -> StepBatch:
        """Memory and bindings for up to `capacity` texts of `beams` rows each."""
        return StepBatch(self._decoder, beams, capacity, self.max_target, self.vocabulary)


class StepBatch:
    """Texts that take their steps together. They lie side by side: `remove` moves the last one."""

    def __init__(
        self,
        session: ort.InferenceSession,
        beams: int,
        capacity: int,
        max_target: int,
        vocabulary: int,
    ) -> None:
        self._session = session
        self.beams = beams
        self.capacity = capacity
        self._max_target = max_target
        self._vocabulary = vocabulary
        self._takes = {one.name for one in session.get_inputs()}
        self._shows = names.ATTENTION in {one.name for one in session.get_outputs()}
        declared = [
            _Input(one.name, tuple(one.shape), TYPES[one.type])
            for one in session.get_inputs()
            if one.name.startswith((names.CROSS, names.PAST))
        ]
        self._cross = [one for one in declared if one.name.startswith(names.CROSS)]
        self._past = [one for one in declared if one.name.startswith(names.PAST)]
        rows = capacity * beams
        # Zeros cost memory only where a row ever is.
        self._rows = {
            one.name: np.zeros(one.sized(rows, 0, max_target), one.dtype) for one in self._past
        }
        self._texts: dict[str, NDArray[np.generic]] = {}
        self._room = 0  # source tokens that `_texts` has room for
        self._tokens = np.zeros(capacity, np.int32)  # of each text's source
        self._ids = np.zeros((capacity, beams), np.int64)
        self._lengths = np.zeros(rows, np.int32)
        self._longest = np.zeros((), np.int32)
        self._logits = np.zeros((rows, vocabulary), np.float32)
        self._attention = np.zeros(0, np.float32)
        self._bound: dict[int, ort.IOBinding] = {}  # by texts
        self._count = 0

    def __len__(self) -> int:
        """Texts."""
        return self._count

    @property
    def lengths(self) -> NDArray[np.int32]:
        """Tokens of each text's rows so far, [G, W]."""
        return self._lengths[: self._count * self.beams].reshape(-1, self.beams)

    def add(self, source: EncodedSource) -> int:
        """All beams of a text, as its last one. Raises ValueError where there is no room."""
        if self._count == self.capacity:
            raise ValueError(f"all {self.capacity} texts are taken")
        if source.tokens > self._room or not self._texts:
            self._grow(source.tokens)
        place = self._count
        for one in self._cross:
            target = self._texts[one.name][place]
            _cut(target, one.source_axis, source.tokens)[...] = source.cross[one.name]
        first = place * self.beams
        for name, value in source.state.items():
            self._rows[name][first : first + self.beams] = value
        self._tokens[place] = source.tokens
        self._lengths[first : first + self.beams] = 0
        self._count += 1
        return place

    def remove(self, place: int) -> int:
        """Frees a text's rows; the last text takes its place. Returns where that one was."""
        last = self._count - 1
        if place != last:
            self._move(last, place)
        self._count = last
        if last == 0:
            self._release()
        return last

    def step(self, token_ids: NDArray[np.int64]) -> Step:
        """The next token of every row, [G, W], is appended; what may come after it."""
        count = self._count
        self._ids[:count] = token_ids
        rows = count * self.beams
        self._longest[...] = self._lengths[:rows].max() + 1
        if self._longest > self._max_target:
            raise ValueError(f"a row has more than {self._max_target} tokens")
        bound = self._bound.get(count)
        if bound is None:
            bound = self._bound[count] = self._bind(count)
        self._session.run_with_iobinding(bound)
        self._lengths[:rows] += 1
        logits = self._logits[:rows].reshape(count, self.beams, -1)
        if not self._shows:
            return Step(logits, None)
        size = rows * self._room
        return Step(logits, self._attention[:size].reshape(count, self.beams, self._room))

    def reorder(self, place: int, beams: Sequence[int]) -> None:
        """Beam w of a text becomes what beam `beams[w]` was."""
        changed = [w for w, beam in enumerate(beams) if w != beam]
        if not changed:
            return
        first = place * self.beams
        sources = [first + beams[w] for w in changed]
        targets = [first + w for w in changed]
        length = int(self._lengths[first])
        for one in self._past:
            values = self._rows[one.name]
            if names.MAX_LENGTH_AXIS in one.shape:
                values = values[:, :, :length]
            values[targets] = values[sources]

    def _grow(self, tokens: int) -> None:
        """Room for longer sources; what is there is copied."""
        old, count = self._texts, self._count
        self._room = max(GROWTH, -(-tokens // GROWTH) * GROWTH)
        self._texts = {}
        for one in self._cross:
            new = np.zeros(one.sized(self.capacity, self._room, 0), one.dtype)
            if count:
                before = old[one.name][:count]
                axis = one.source_axis
                width = None if axis is None else before.shape[axis]
                _cut(new[:count], None if axis is None else axis + 1, width)[...] = before
            self._texts[one.name] = new
        if self._shows:
            self._attention = np.zeros(self.capacity * self.beams * self._room, np.float32)
        self._bound.clear()

    def _release(self) -> None:
        """Long sources leave much memory behind."""
        self._texts, self._room = {}, 0
        self._bound.clear()

    def _move(self, source: int, target: int) -> None:
        tokens = int(self._tokens[source])
        for one in self._cross:
            values = self._texts[one.name]
            _cut(values[target], one.source_axis, tokens)[...] = _cut(
                values[source], one.source_axis, tokens
            )
        self._tokens[target] = tokens
        beams = self.beams
        old = slice(source * beams, (source + 1) * beams)
        new = slice(target * beams, (target + 1) * beams)
        length = int(self._lengths[old].max())
        for past in self._past:
            values = self._rows[past.name]
            if names.MAX_LENGTH_AXIS in past.shape:
                values = values[:, :, :length]
            values[new] = values[old]
        self._lengths[new] = self._lengths[old]

    def _bind(self, count: int) -> ort.IOBinding:
        """Buffers stay where they are until the sources' room grows."""
        bound = self._session.io_binding()
        rows = count * self.beams
        small: dict[str, NDArray[np.generic]] = {
            names.IDS: self._ids[:count],
            names.LENGTHS: self._lengths[:rows],
            names.LONGEST: self._longest,
            names.SOURCE_LENGTHS: self._tokens[:count],
        }
        for name, value in small.items():
            if name in self._takes:
                _bind_input(bound, name, value)
        for one in self._cross:
            _bind_input(bound, one.name, self._texts[one.name][:count])
        for one in self._past:
            value = self._rows[one.name][:rows]
            _bind_input(bound, one.name, value)
            present = names.present(one.name.removeprefix(names.PAST))
            _bind_output(bound, present, value)
        _bind_output(bound, names.LOGITS, self._logits[:rows])
        if self._shows:
            weights = self._attention[: rows * self._room].reshape(count, self.beams, self._room)
            _bind_output(bound, names.ATTENTION, weights)
        return bound


def _cut(value: NDArray[np.generic], axis: int | None, tokens: int | None) -> NDArray[np.generic]:
    """The first `tokens` of the source's axis; `axis` counts the texts' axis, `value` has none."""
    if axis is None:
        return value
    return value[(slice(None),) * (axis - 1) + (slice(tokens),)]


def _bind_input(bound: ort.IOBinding, name: str, value: NDArray[np.generic]) -> None:
    bound.bind_input(name, "cpu", 0, value.dtype.type, value.shape, value.ctypes.data)


def _bind_output(bound: ort.IOBinding, name: str, value: NDArray[np.generic]) -> None:
    bound.bind_output(name, "cpu", 0, value.dtype.type, value.shape, value.ctypes.data)
