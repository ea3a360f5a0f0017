"""Texts and pairs of them -> token ids within the model's limit. Knows no model, no request."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tokenizers import Encoding, Tokenizer

from bestiary.errors import ContextOverflow, InvalidRequest
from bestiary.schemas.encoder import Offset, Pair
from deployments.kernels.encoder_session import EncoderText

TOKENIZER_FILE = "tokenizer.json"
TOKENIZER_CONFIG_FILE = "tokenizer_config.json"
SENTENCE_FILE = "sentence_bert_config.json"  # of sentence-transformers: what it was trained on
USUAL_MASK = "[MASK]"


@dataclass(frozen=True, slots=True)
class Wording:
    """How an error calls the inputs, and the field that they came in."""

    noun: str = "input"
    param: str = "input"
    is_only: bool = False  # there is no other: it needs no number

    def name(self, index: int) -> str:
        return self.noun if self.is_only else f"{self.noun} {index}"


INPUT = Wording()


@dataclass(frozen=True, slots=True)
class TokenizedInput:
    """Special tokens included. Of token ids that were given as such there is no more than them."""

    ids: tuple[int, ...]
    truncated: bool
    segments: tuple[int, ...] = ()  # none: all 0
    tokens: tuple[str, ...] = field(default=(), compare=False)
    offsets: tuple[Offset, ...] = field(default=(), compare=False)  # characters of its own text
    words: tuple[int | None, ...] = field(default=(), compare=False)  # None: a special token
    asked: int = 0  # the token whose word is wanted, where words are

    @property
    def text(self) -> EncoderText:
        return EncoderText(self.ids, self.segments, self.asked)


class EncoderTokenizer:
    """Thread-safe. `limit` counts special tokens."""

    def __init__(self, tokenizer: Tokenizer, limit: int, mask: str = USUAL_MASK) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self.limit = limit
        self.mask = mask  # as it stands in texts; may be no token of this vocabulary
        self.mask_id: int | None = tokenizer.token_to_id(mask)
        self._tokenizer = tokenizer
        self._vocabulary: int = tokenizer.get_vocab_size(with_added_tokens=True)
        self._specials: int = tokenizer.num_special_tokens_to_add(False)
        self._pair_specials: int = tokenizer.num_special_tokens_to_add(True)

    def encode(
        self,
        inputs: Sequence[str | Pair | tuple[int, ...]],
        truncate: bool,
        wording: Wording = INPUT,
        longest: int | None = None,
    ) -> list[TokenizedInput]:
        """Token ids are taken as they are, special tokens and all.

        Of a pair the longer text is cut first. `longest` is a lower limit than the model's.
        Raises ContextOverflow for an input over the limit unless `truncate`, and
        InvalidRequest for an empty one or for an id that the vocabulary lacks.
        """
        encoder = _Encoding(self, truncate, wording, longest)
        return [encoder.encode(index, value) for index, value in enumerate(inputs)]

    def encode_after(
        self, query: str, documents: Sequence[str], truncate: bool
    ) -> list[TokenizedInput]:
        """Each document behind the query, which is never cut.

        Raises ContextOverflow and InvalidRequest as `encode` does.
        """
        encoder = _Encoding(self, truncate, Wording("document", "documents"), None)
        first = encoder.plain("the query", query, "query")
        return [encoder.behind(first, index, one) for index, one in enumerate(documents)]

    def count(self, text: str) -> tuple[int, ...]:
        """All token ids of a text, however long."""
        return tuple(self._tokenizer.encode(text).ids)

    def token(self, token_id: int) -> str:
        return str(self._tokenizer.id_to_token(token_id) or "")

    def room(self, pair: bool, limit: int) -> int:
        """Tokens of texts beside the special ones."""
        return limit - (self._pair_specials if pair else self._specials)

    def plain(self, text: str) -> Encoding:
        """Without special tokens."""
        return self._tokenizer.encode(text, add_special_tokens=False)

    def finished(self, first: Encoding, second: Encoding | None, truncated: bool) -> TokenizedInput:
        """With special tokens."""
        whole = self._tokenizer.post_process(first, second)
        return TokenizedInput(
            ids=tuple(whole.ids),
            truncated=truncated,
            segments=tuple(whole.type_ids) if second is not None else (),
            tokens=tuple(whole.tokens),
            offsets=tuple(whole.offsets),
            words=tuple(whole.word_ids),
        )

    def knows(self, token_id: int) -> bool:
        return 0 <= token_id < self._vocabulary


@dataclass(frozen=True, slots=True)
class _Encoding:
    """One call's inputs."""

    tokenizer: EncoderTokenizer
    truncate: bool
    wording: Wording
    longest: int | None

    @property
    def limit(self) -> int:
        return min(self.tokenizer.limit, self.longest or self.tokenizer.limit)

    def encode(self, index: int, value: str | Pair | tuple[int, ...]) -> TokenizedInput:
        name = self.wording.name(index)
        if not value:
            raise InvalidRequest(f"{name} is empty", self.wording.param)
        if isinstance(value, str):
            return self._single(name, value)
        if isinstance(value[0], str):
            first, second = (
                self.plain(f"the {place} text of {name}", str(text), self.wording.param)
                for place, text in zip(("first", "second"), value, strict=True)
            )
            return self._pair(name, first, second)
        return self._given(name, tuple(int(token) for token in value))

    def behind(self, first: Encoding, index: int, document: str) -> TokenizedInput:
        """Only the document is cut."""
        name = self.wording.name(index)
        second = self.plain(name, document, self.wording.param)
        room = self.tokenizer.room(True, self.limit) - len(first.ids)
        if room < 1:
            raise self._overflow("the query with a document", len(first.ids) + 1, pair=True)
        over = len(second.ids) > room
        if over:
            self._refuse(name, len(first.ids) + len(second.ids), pair=True)
            second.truncate(room)
        return self.tokenizer.finished(first, second, over)

    def plain(self, name: str, text: str, param: str) -> Encoding:
        if not text:
            raise InvalidRequest(f"{name} is empty", param)
        return self.tokenizer.plain(text)

    def _single(self, name: str, text: str) -> TokenizedInput:
        plain = self.tokenizer.plain(text)
        room = self.tokenizer.room(False, self.limit)
        over = len(plain.ids) > room
        if over:
            self._refuse(name, len(plain.ids))
            plain.truncate(room)
        return self.tokenizer.finished(plain, None, over)

    def _pair(self, name: str, first: Encoding, second: Encoding) -> TokenizedInput:
        room = self.tokenizer.room(True, self.limit)
        over = len(first.ids) + len(second.ids) > room
        if over:
            self._refuse(name, len(first.ids) + len(second.ids), pair=True)
            half = room // 2
            kept = min(len(first.ids), max(half, room - len(second.ids)))
            first.truncate(kept)
            second.truncate(room - kept)
        return self.tokenizer.finished(first, second, over)

    def _given(self, name: str, ids: tuple[int, ...]) -> TokenizedInput:
        wrong = next((token for token in ids if not self.tokenizer.knows(token)), None)
        if wrong is not None:
            raise InvalidRequest(f"{name}: the vocabulary has no token {wrong}", self.wording.param)
        if len(ids) <= self.limit:
            return TokenizedInput(ids, truncated=False)
        if not self.truncate:
            raise self._too_long(name, len(ids))
        return TokenizedInput(ids[: self.limit], truncated=True)

    def _refuse(self, name: str, tokens: int, pair: bool = False) -> None:
        if not self.truncate:
            raise self._overflow(name, tokens, pair)

    def _overflow(self, name: str, tokens: int, pair: bool) -> ContextOverflow:
        return self._too_long(name, tokens + self.limit - self.tokenizer.room(pair, self.limit))

    def _too_long(self, name: str, tokens: int) -> ContextOverflow:
        taker = "the model takes" if self.limit == self.tokenizer.limit else "at most"
        return ContextOverflow(
            f"{name} has {tokens} tokens; {taker} {self.limit}",
            self.wording.param,
            tokens,
            self.limit,
        )


def load_tokenizer(folder: Path, longest: int) -> EncoderTokenizer:
    """The folder's tokenizer; the limit is the smallest of `longest` and the folder's own."""
    limit = min(longest, _trained_length(folder) or longest)
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
    return EncoderTokenizer(tokenizer, limit, _mask(folder))


def _trained_length(folder: Path) -> int | None:
    path = folder / SENTENCE_FILE
    if not path.is_file():
        return None
    length = json.loads(path.read_text(encoding="utf-8")).get("max_seq_length")
    return length if isinstance(length, int) else None


def _mask(folder: Path) -> str:
    path = folder / TOKENIZER_CONFIG_FILE
    if not path.is_file():
        return USUAL_MASK
    named = json.loads(path.read_text(encoding="utf-8")).get("mask_token")
    content = named.get("content") if isinstance(named, dict) else named
    return content if isinstance(content, str) else USUAL_MASK
