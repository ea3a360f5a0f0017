"""Which tokens may come next where an answer has to match a grammar.

llguidance (https://github.com/guidance-ai/llguidance) walks the grammar over bytes and
gives a mask over the vocabulary. A mask takes microseconds mostly, milliseconds where
a grammar is hard, and is computed in a thread of its own: it begins when a token was
chosen and is needed after the model's next run, which leaves the GIL alone as well.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor

import numpy as np
from llguidance import LLMatcher, LLParserLimits, LLTokenizer
from numpy.typing import NDArray

from bestiary.errors import BestiaryError, EngineFailure, InvalidRequest

log = logging.getLogger(__name__)

MASK_DEADLINE_S = 10.0  # the library's own limits end a mask within a few hundredths
MAX_GRAMMAR = 2**18  # characters
MESSAGE_LIMIT = 400  # characters of the library's message that a caller is told

_STATE = re.compile(r"<state>|<non-verbose/>")  # where the library's messages begin to ramble

Mask = NDArray[np.uint8]  # a bit per token, the lowest bit first


class TokenMatcher:
    """One sequence's place in its grammar. Used by one thread at a time."""

    def __init__(
        self,
        matcher: LLMatcher,
        mask: Mask,
        workers: Executor,
        param: str,
        deadline_s: float = MASK_DEADLINE_S,
    ) -> None:
        self.param = param  # the caller's field that the grammar came from
        self.complete = False  # nothing may follow any more
        self._matcher = matcher
        self._workers = workers
        self._deadline_s = deadline_s
        self._mask = mask
        self._coming: Future[Mask] | None = None
        self._late = False
        self._broken = ""  # what finding a mask raised

    def accept(self, token: int) -> None:
        """The token was chosen; begins to compute the mask for the one after it."""
        if not self._settled():
            return
        going = self._matcher.consume_token(token)
        self.complete = going and self._matcher.is_stopped()
        if going and not self.complete:
            self._coming = self._workers.submit(_mask_of, self._matcher)

    def mask(self) -> Mask | None:
        """What may come next; None where the grammar cannot go on, see `fault`."""
        if not self._settled() or self._matcher.is_error() or not self._mask.any():
            return None
        return self._mask

    def fault(self) -> BestiaryError:
        """Why there is no mask."""
        if self._broken:
            return EngineFailure(f"finding what may follow failed: {self._broken}")
        reason = f"it took over {self._deadline_s:g} s to find what may follow"
        if not self._late:
            reason = _told(self._matcher.get_error()) or "no token of this model can follow"
        message = f"the answer cannot go on within what it has to match: {reason}"
        return InvalidRequest(message, self.param)

    def _settled(self) -> bool:
        """Waits for the mask: the library allows one use of a matcher at a time.

        What the library raises is this sequence's affair, not that of the batch it is in.
        """
        if self._coming is not None and not self._late:
            try:
                self._mask = self._coming.result(self._deadline_s)
                self._coming = None
            except TimeoutError:
                self._late = True
            except Exception as error:
                log.exception("a mask could not be computed")
                self._broken, self._coming = type(error).__name__, None
        return not self._late and not self._broken


class CompiledGrammar:
    """Where the sequences of one request begin; `ready` matchers are made, more can be.

    Each sequence has a matcher of its own. Copies of one would share its lexer, and the
    limits on it: a sequence that runs into them would end all the others as well.
    """

    def __init__(
        self,
        ready: Iterable[LLMatcher],
        make: Callable[[], LLMatcher],
        mask: Mask,
        workers: Executor,
        param: str,
    ) -> None:
        self._ready = deque(ready)
        self._make = make
        self._mask = mask  # of the first token, which is the same for all
        self._workers = workers
        self._param = param

    def begin(self) -> TokenMatcher:
        matcher = self._ready.popleft() if self._ready else self._make()
        return TokenMatcher(matcher, self._mask, self._workers, self._param)


class GrammarCompiler:
    """Of one model's tokenizer. Thread-safe; its thread of masks ends with it."""

    def __init__(self, tokenizer: str, vocabulary: int, end_ids: Collection[int]) -> None:
        """`tokenizer` as `tokenizer.json` has it; `vocabulary` of the model's logits.

        Raises ValueError where the tokenizer's tokens do not stand for bytes.
        """
        ends = sorted(end_ids) or None
        try:
            self._tokenizer = LLTokenizer(tokenizer, n_vocab=vocabulary, eos_token=ends)
        except ValueError:  # a model may have fewer logits than its tokenizer has tokens
            self._tokenizer = LLTokenizer(tokenizer, eos_token=ends)
        self._limits = LLParserLimits(verbose_errors=False)
        self._workers = ThreadPoolExecutor(1, thread_name_prefix="text-masks")

    def compile(self, grammar: str, param: str, sequences: int = 1) -> CompiledGrammar:
        """For so many sequences; milliseconds each, up to a second for a very large grammar.

        Raises InvalidRequest.
        """

        def make() -> LLMatcher:
            return LLMatcher(self._tokenizer, grammar, log_level=0, limits=self._limits)

        if len(grammar) > MAX_GRAMMAR:
            told = f"{len(grammar)} characters are over the limit of {MAX_GRAMMAR}"
            raise InvalidRequest(f"{param} cannot be enforced: {told}", param)
        first = make()
        mask = _mask_of(first)
        if first.is_error():
            message = f"{param} cannot be enforced: {_told(first.get_error())}"
            raise InvalidRequest(message, param)
        ready = (first, *(make() for _ in range(sequences - 1)))
        return CompiledGrammar(ready, make, mask, self._workers, param)

    def is_special(self, token: int) -> bool:
        """Whether grammars have to name the token, as its text does not match it."""
        return bool(self._tokenizer.is_special_token(token))


def compiler_of(
    tokenizer: str, vocabulary: int, end_ids: Collection[int]
) -> GrammarCompiler | None:
    """None, and a line in the log, for tokenizers whose tokens do not stand for bytes."""
    try:
        return GrammarCompiler(tokenizer, vocabulary, end_ids)
    except ValueError as error:
        log.warning("this model's answers cannot be constrained: %s", error)
        return None


def forbid(
    logits: NDArray[np.float32], rows: Sequence[int], matchers: Sequence[TokenMatcher]
) -> list[int]:
    """Sets what may not come next to -inf, in place; the rows that cannot go on are left alone.

    Gives those back. `logits` [B, vocabulary]; `rows` names those of the matchers. Row by
    row: what is added stays in the cache so, and no copy of the rows is needed.
    """
    stuck: list[int] = []
    for row, matcher in zip(rows, matchers, strict=True):
        mask = matcher.mask()
        if mask is None:
            stuck.append(row)
            continue
        added = np.take(_ADDED, mask, axis=0).reshape(-1)[: logits.shape[1]]
        logits[row, : len(added)] += added
        logits[row, len(added) :] = -np.inf  # a padded model's: no tokens at all
    return stuck


def _added() -> NDArray[np.float32]:
    """[256, 8]: for each byte of a mask what its tokens' logits get, 0 or -inf.

    Adding takes the same time whatever the mask; choosing by its bits takes many times as long
    where they are mixed.
    """
    every = np.arange(256, dtype=np.uint8)[:, None]
    allowed = np.unpackbits(every, axis=1, bitorder="little").astype(bool)
    return np.where(allowed, 0, -np.inf).astype(np.float32)


_ADDED = _added()


def _mask_of(matcher: LLMatcher) -> Mask:
    return np.frombuffer(matcher.compute_bitmask(), np.uint8)


def _told(error: str) -> str:
    """The library's message without its state, on one line."""
    plain = " ".join(_STATE.split(error)[0].split())
    return plain if len(plain) <= MESSAGE_LIMIT else plain[: MESSAGE_LIMIT - 1] + "…"
