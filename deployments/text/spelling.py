"""A vocabulary's entries -> the bytes they stand for, part of a character perhaps.

Decoding one token alone cannot tell: it gives U+FFFD for half a character. What an
entry stands for is written in the tokenizer's decoder
(https://huggingface.co/docs/tokenizers/api/decoders): GPT-2's alphabet of printable
characters for bytes, `<0xE4>` for a byte, or a character in place of the space.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tokenizers import Tokenizer

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_Step = Callable[[bytes | str], bytes | str]  # text until a step knows the bytes


@dataclass(frozen=True, slots=True)
class Spelling:
    """`data` is a token's share of the text; a special token has none: its name is there."""

    data: bytes
    special: bool


class Speller:
    """One tokenizer's entries. Thread-safe: it never changes."""

    def __init__(self, tokenizer: Tokenizer, hidden: frozenset[int]) -> None:
        """`hidden`: the special tokens, which have no text."""
        self._tokenizer = tokenizer
        self._hidden = hidden
        self._added = {
            number: token.content for number, token in tokenizer.get_added_tokens_decoder().items()
        }
        decoder = tokenizer.decoder
        state = None if decoder is None else json.loads(decoder.__getstate__())
        self._steps = tuple(_steps(state))

    def spell(self, token: int) -> Spelling:
        """Ids over the vocabulary, which a padded model has, stand for nothing."""
        added = self._added.get(token)
        if added is not None:  # an added token's name is text already
            return Spelling(added.encode(), token in self._hidden)
        entry: bytes | str | None = self._tokenizer.id_to_token(token)
        if entry is None:
            return Spelling(b"", special=True)
        for step in self._steps:
            entry = step(entry)
        return Spelling(entry.encode() if isinstance(entry, str) else entry, special=False)


def _steps(decoder: dict[str, object] | None) -> Iterator[_Step]:
    """What is done to each token for itself; what is done to the whole text is left out."""
    if decoder is None:
        return
    kind = decoder.get("type")
    if kind == "Sequence":
        parts = decoder.get("decoders")
        for part in parts if isinstance(parts, list) else ():
            yield from _steps(part)
    elif kind == "ByteLevel":
        yield _from_byte_alphabet
    elif kind == "ByteFallback":
        yield _from_byte_name
    elif kind == "Metaspace":
        yield _replacing(str(decoder.get("replacement", "▁")), " ")
    elif kind == "Replace":
        pattern = decoder.get("pattern")
        if isinstance(pattern, dict) and isinstance(pattern.get("String"), str):
            yield _replacing(pattern["String"], str(decoder.get("content", "")))


def _replacing(old: str, new: str) -> _Step:
    return lambda entry: entry.replace(old, new) if isinstance(entry, str) else entry


def _from_byte_name(entry: bytes | str) -> bytes | str:
    found = _BYTE.fullmatch(entry) if isinstance(entry, str) else None
    return entry if found is None else bytes([int(found[1], 16)])


def _from_byte_alphabet(entry: bytes | str) -> bytes | str:
    if not isinstance(entry, str) or not all(one in _BYTES for one in entry):
        return entry
    return bytes(_BYTES[one] for one in entry)


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's: printable bytes are themselves, the rest follow from U+0100 on.

    https://github.com/openai/gpt-2/blob/master/src/encoder.py, `bytes_to_unicode`.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in set(printable)]
    return {chr(byte): byte for byte in printable} | {
        chr(256 + place): byte for place, byte in enumerate(rest)
    }


_BYTES = _byte_alphabet()
