"""Fakes at the engine's seams, and a small driver for engine tests.

The fake decoder's logits are a pure function of what is in the KV row, and the row's
tokens are its KV. So a row that was moved too short, written over or read at the
wrong length gives other logits than the same history alone, or fails outright.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bestiary.errors import BestiaryError
from bestiary.schemas.text import Priority, Sampling, TextChunk
from deployments.kernels.decoder_names import Graph
from deployments.kernels.prompt_session import PromptPart
from deployments.text.engine import Engine, EngineOptions
from deployments.text.prepared import PreparedRequest
from deployments.text.small_model_drafter import SmallModelDrafter
from deployments.text.speculation import Drafter, RowSpeculation

EMPTY = -1
ADAPTED = 1000  # over every token


class FakeDecoder:
    """`broken` holds histories (as tuples) whose logits are NaN; `failing` raises at them."""

    def __init__(self, slots: int = 4, max_length: int = 64, vocabulary: int = 50) -> None:
        self.slots = slots
        self.max_length = max_length
        self.vocabulary = vocabulary
        self.broken: set[tuple[int, ...]] = set()
        self.failing: set[tuple[int, ...]] = set()
        self.runs: list[tuple[int, int, int]] = []  # first row, rows, tokens
        self.together = False  # whether it reads several prompts at once
        self.reads: list[int] = []  # how many prompts each call of `read` had
        self.open = threading.Event()  # a run waits while this is not set
        self.open.set()
        self._kv = np.full((slots, max_length), EMPTY, np.int64)
        self._logits = np.zeros((slots, vocabulary), np.float32)

    @property
    def reads_together(self) -> bool:
        return self.together

    def read(
        self, parts: Sequence[PromptPart], *, every: bool = False, adapter: int = 0
    ) -> NDArray[np.float32]:
        assert parts, "nothing to read"
        assert len({part.row for part in parts}) == len(parts), "two parts of one row"
        assert len(parts) == 1 or (self.together and not every and not adapter)
        adapters = np.array([adapter], np.int64) if adapter else None
        found = [
            self.run(
                part.row,
                part.token_ids[np.newaxis],
                np.array([part.past], np.int32),
                every=every,
                adapters=adapters,
            ).copy()
            for part in parts
        ]
        self.reads.append(len(parts))
        return np.concatenate(found)

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
        rows, tokens = token_ids.shape
        slots = np.zeros(rows, np.int64) if adapters is None else adapters
        if every:
            return self._at_every_position(first_row, token_ids[0], int(past[0]), adapters)
        assert rows == 1 or tokens == 1, "only one row can take many tokens"
        assert first_row + rows <= self.slots
        self.runs.append((first_row, rows, tokens))
        assert self.open.wait(timeout=30), "the test left the decoder closed"
        for row in range(rows):
            length = int(past[row])
            assert length + tokens <= self.max_length, "the row is over its length"
            # What an adapter made of a token is another KV than the base's.
            kv = token_ids[row] + ADAPTED * slots[row]
            self._kv[first_row + row, length : length + tokens] = kv
            history = tuple(self._kv[first_row + row, : length + tokens].tolist())
            assert EMPTY not in history, "the row was read past what was written"
            if history in self.failing:
                raise RuntimeError("the fake was told to fail")
            self._logits[row] = np.nan if history in self.broken else self.logits_of(history)
        # Nothing but the row's own history may matter: what lies behind it is poisoned.
        for row in range(rows):
            self._kv[first_row + row, int(past[row]) + tokens :] = EMPTY
        return self._logits[:rows]

    def _at_every_position(
        self,
        row: int,
        tokens: NDArray[np.int64],
        past: int,
        adapters: NDArray[np.int64] | None,
    ) -> NDArray[np.float32]:
        """As one token after the other would give them."""
        lengths = [np.array([past + done], np.int32) for done in range(len(tokens))]
        each = [
            self.run(row, token.reshape(1, 1), length, adapters=adapters)[0].copy()
            for token, length in zip(tokens, lengths, strict=True)
        ]
        self.runs[-len(tokens) :] = [(row, 1, len(tokens))]
        return np.stack(each)

    def move_row(self, source: int, target: int, length: int) -> None:
        self._kv[target] = EMPTY
        self._kv[target, :length] = self._kv[source, :length]

    def copy_out(
        self, row: int, start: int, stop: int, out: NDArray[np.generic] | None = None
    ) -> NDArray[np.generic]:
        tokens = self._kv[row, start:stop].reshape(1, 1, -1, 1)
        if out is None:
            return tokens.copy()
        out[...] = tokens
        return out

    def copy_in(self, row: int, start: int, tokens: NDArray[np.generic]) -> None:
        stop = start + tokens.shape[2]
        self._kv[row, start:stop] = tokens[0, 0, :, 0]
        self._kv[row, stop:] = EMPTY

    def history(self, row: int, length: int) -> list[int]:
        return self._kv[row, :length].tolist()

    def logits_of(self, history: tuple[int, ...]) -> NDArray[np.float32]:
        state = hash(history) % 2**31  # of integers: the same in every process
        ids = np.arange(1, self.vocabulary + 1)
        return ((state * ids % 1009) / 100).astype(np.float32)


class Oracle:
    """Guesses what a greedy row of `decoder` will say; wrong from the `wrong_at`-th token on."""

    def __init__(self, decoder: FakeDecoder, wrong_at: int = 1000) -> None:
        self._decoder = decoder
        self._wrong_at = wrong_at

    def begin_step(self) -> None:
        """It reads nothing."""

    def draft(self, row: int, text: RowSpeculation, most: int) -> list[int]:
        history = [*self._decoder.history(row, len(text.tokens) - 1), text.tokens[-1]]
        found: list[int] = []
        for place in range(most):
            best = int(self._decoder.logits_of(tuple(history)).argmax())
            found.append(best if place < self._wrong_at else (best + 1) % self._decoder.vocabulary)
            history.append(found[-1])
        return found


class GuessingWell(FakeDecoder):
    """Another model, that often agrees: it says something else after every third history."""

    def logits_of(self, history: tuple[int, ...]) -> NDArray[np.float32]:
        logits = super().logits_of(history)
        return np.roll(logits, 1) if sum(history) % 3 == 0 else logits


class CarefulDrafter(SmallModelDrafter):
    """Its every guess is compared with what its model says to the same tokens alone."""

    def __init__(self, decoder: FakeDecoder, vocabulary: int, read_most: int) -> None:
        super().__init__(decoder, vocabulary, read_most)
        self._alone = decoder

    def draft(self, row: int, text: RowSpeculation, most: int) -> list[int]:
        found = super().draft(row, text, most)
        history = list(text.tokens)
        for guess in found:
            assert guess == int(self._alone.logits_of(tuple(history)).argmax())
            history.append(guess)
        return found


class FakeLease:
    """An adapter's slot that counts how often it was given back."""

    def __init__(self, slot: int, name: str = "") -> None:
        self.slot = slot
        self.name = name or f"adapter {slot}"
        self.releases = 0

    def release(self) -> None:
        self.releases += 1


class LetterTokenizer:
    """Token 0 is `a`, 1 is `b`, and so on through Unicode. No token is special."""

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(chr(ord("a") + one) for one in ids)


class Clock:
    """Seconds that pass only when a test says so; with `tick`, at every look."""

    def __init__(self) -> None:
        self.now = 100.0
        self.tick = 0.0

    def __call__(self) -> float:
        self.now += self.tick
        return self.now


def prepared(
    prompt: Sequence[int] = (1, 2, 3),
    *,
    max_tokens: int = 8,
    seed: int = 7,
    candidates: int = 1,
    deadline_s: float = float("inf"),
    echo: str = "",
    priority: Priority = Priority.INTERACTIVE,
    tenant: str = "",
    adapter: FakeLease | None = None,
    **sampling: object,
) -> PreparedRequest:
    """Greedy unless `temperature` is given."""
    return PreparedRequest(
        prompt=np.array(prompt, np.int64),
        sampling=Sampling.model_validate({"temperature": 0.0} | sampling),
        max_tokens=max_tokens,
        seed=seed,
        candidates=candidates,
        arrived_s=100.0,
        deadline_s=deadline_s,
        echo=echo,
        priority=priority,
        tenant=tenant,
        adapter=adapter,
    )


@dataclass
class Driver:
    """An engine on the fake decoder, and everything that it has said."""

    decoder: FakeDecoder
    prefill_chunk: int = 4
    max_waiting: int = 100
    end_ids: frozenset[int] = frozenset()
    clock: Clock = field(default_factory=Clock)
    prefix_cache_bytes: int = 0
    swap_bytes: int = 0
    speculate: int = 0
    checks_are_exact: bool = True
    drafter: Drafter | None = None
    chunks: dict[int, list[TextChunk]] = field(default_factory=dict)
    errors: dict[int, BestiaryError] = field(default_factory=dict)

    def __post_init__(self) -> None:
        options = EngineOptions(
            self.prefill_chunk,
            self.max_waiting,
            prefix_cache_bytes=self.prefix_cache_bytes,
            swap_bytes=self.swap_bytes,
            speculate=self.speculate,
            checks_are_exact=self.checks_are_exact,
        )
        self.engine = Engine(
            self.decoder, LetterTokenizer(), self.end_ids, options, self.clock, self.drafter
        )

    def step(self, times: int = 1) -> None:
        for _ in range(times):
            result = self.engine.step()
            for ticket, chunks in result.chunks.items():
                self.chunks.setdefault(ticket, []).extend(chunks)
            assert not self.errors.keys() & result.errors.keys()
            self.errors.update(result.errors)

    def drain(self) -> None:
        for _ in range(10_000):
            if self.engine.idle:
                return
            self.step()
        raise AssertionError("the engine does not come to an end")

    def tokens(self, ticket: int, candidate: int = 0) -> list[int]:
        said = self.chunks.get(ticket, [])
        return [one for chunk in said if chunk.candidate == candidate for one in chunk.token_ids]

    def text(self, ticket: int, candidate: int = 0) -> str:
        said = self.chunks.get(ticket, [])
        return "".join(chunk.text for chunk in said if chunk.candidate == candidate)


def solo(request: PreparedRequest, like: Driver, candidate: int = 0) -> list[int]:
    """The tokens that the same request gets when nobody else is there, its prompt in one run."""
    alone = FakeDecoder(request.candidates, like.decoder.max_length, like.decoder.vocabulary)
    driver = Driver(alone, prefill_chunk=1000, end_ids=like.end_ids)
    driver.engine.submit(0, request)
    driver.drain()
    return driver.tokens(0, candidate)
