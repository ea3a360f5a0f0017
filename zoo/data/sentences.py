"""Running text -> sentences of prose. Made for docstrings and e-mails: code, tables, headings
and quotations are left out. English only."""

from __future__ import annotations

import re
from collections.abc import Iterator

Document = tuple[str, ...]  # sentences that follow one another

_PARAGRAPH = re.compile(r"\n\s*\n")
_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_ROLE = re.compile(r":[a-z:]+:`~?\.?([^`<]+?)(?:\s*<[^`]*>)?`")
_QUOTED = re.compile(r"`+([^`]+)`+_*")
_CODE = re.compile(r">>>|\.\. |::|https?:|[{}\[\]<>|=\\*_/]")
_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|etc|vs|cf|Dr|Mr|Mrs|St|No|resp)\.$")
MIN_WORDS, MAX_WORDS = 4, 40


def documents(text: str) -> Iterator[Document]:
    """One per paragraph that has two sentences or more."""
    for paragraph in _PARAGRAPH.split(text):
        if ">>>" in paragraph or paragraph.startswith((" ", "\t", "-", "*", "|", ">")):
            continue
        found = sentences(paragraph)
        if len(found) > 1:
            yield found


def sentences(paragraph: str) -> Document:
    """Those at its start that are prose: nothing is left out between two of them."""
    plain = _QUOTED.sub(r"\1", _ROLE.sub(r"\1", paragraph))
    found: list[str] = []
    for piece in joined_abbreviations(_END.split(" ".join(plain.split()))):
        if not is_prose(piece):
            break
        found.append(piece)
    return tuple(found)


def joined_abbreviations(pieces: list[str]) -> Iterator[str]:
    """A full stop behind an abbreviation ends no sentence."""
    kept = ""
    for piece in pieces:
        kept = f"{kept} {piece}" if kept else piece
        if not _ABBREVIATION.search(kept):
            yield kept
            kept = ""
    if kept:
        yield kept


def is_prose(text: str) -> bool:
    words = text.split()
    letters = sum(letter.isalpha() or letter.isspace() for letter in text)
    return (
        MIN_WORDS <= len(words) <= MAX_WORDS
        and text[0].isupper()
        and text[-1] in ".!?"
        and letters >= 0.9 * len(text)
        and not _CODE.search(text)
    )
