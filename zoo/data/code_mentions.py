"""Docstrings whose authors marked what is code: sentences as plain text, with those spans.

Sphinx roles say what a name is, double backticks only that it is code:

    :class: :exc:          class
    :func: :meth:          function
    ``...`` :attr: :data:  code

The marks are taken out; what they marked is what a model has to find again. Authors do not mark
every name, so sentences are left out whose unmarked words look like code, and those without
marks that have a word which somebody marked elsewhere. Role syntax:
https://www.sphinx-doc.org/en/master/usage/domains/python.html
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

KINDS = ("class", "function", "code")
_KIND_OF_ROLE = {
    "class": "class",
    "exc": "class",
    "func": "function",
    "meth": "function",
    "attr": "code",
    "data": "code",
}
_MARK = re.compile(r":(?:py:)?(?P<role>[a-z]+):`(?P<name>[^`]+)`|``(?P<code>[^`]+)``")
_TITLE = re.compile(r"(?P<title>[^<]+?)\s*<[^>]+>$")
_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z:`])")
_NO_PROSE = re.compile(r">>>|\.\. |::|https?:|\|")
_CODE_LIKE = re.compile(r"\w_|_\w|\w\(|[a-z][A-Z]|[=@\\]|\w\.\w")
MIN_WORDS, MAX_WORDS = 5, 45


@dataclass(frozen=True)
class Mention:
    start: int  # of characters
    end: int
    kind: str


@dataclass(frozen=True)
class Sentence:
    text: str
    mentions: tuple[Mention, ...]


def sentences(docstrings: Iterable[str]) -> list[Sentence]:
    """Of those docstrings that mark anything at all; each text once, as far as it is marked."""
    found: dict[str, Sentence] = {}
    for docstring in docstrings:
        if _MARK.search(docstring):
            for sentence in _of_docstring(docstring):
                if not _CODE_LIKE.search(outside(sentence)):
                    found.setdefault(sentence.text, sentence)
    names = usually_marked(found.values())
    return [
        sentence
        for sentence in found.values()
        if sentence.mentions or names.isdisjoint(_words(sentence.text))
    ]


def usually_marked(sentences: Collection[Sentence]) -> set[str]:
    """Words that are marked in a fifth of their sentences or more: `None`, but not `the`."""
    marked: Counter[str] = Counter()
    there: Counter[str] = Counter()
    for sentence in sentences:
        there.update(_words(sentence.text))
        marked.update({sentence.text[one.start : one.end].lower() for one in sentence.mentions})
    return {word for word, count in marked.items() if count >= 0.2 * there[word]}


def outside(sentence: Sentence) -> str:
    """The text without what is marked."""
    text, end = "", 0
    for one in sentence.mentions:
        text += sentence.text[end : one.start] + " "
        end = one.end
    return text + sentence.text[end:]


def _words(text: str) -> set[str]:
    return {word.strip(".,;:!?()\"'").lower() for word in text.split()}


def unmarked(marked: str) -> Sentence | None:
    """The text without its marks; None where a role is none of those above."""
    text, mentions, end = "", [], 0
    for mark in _MARK.finditer(marked):
        text += marked[end : mark.start()]
        end = mark.end()
        if mark["code"] is not None:
            name, kind = mark["code"], "code"
        elif mark["role"] in _KIND_OF_ROLE:
            name, kind = _shown(mark["name"]), _KIND_OF_ROLE[mark["role"]]
        else:
            return None
        name = name.strip()
        mentions.append(Mention(len(text), len(text) + len(name), kind))
        text += name
    text += marked[end:]
    return None if "`" in text else Sentence(text, tuple(mentions))


def _shown(name: str) -> str:
    """What Sphinx shows of a role's content."""
    titled = _TITLE.match(name)
    if titled is not None:
        return titled["title"]
    if name.startswith("~"):
        return name.rpartition(".")[2]
    # SQLAlchemy's own short names of modules: `_orm.Session` is shown as `Session`.
    return re.sub(r"^(_\w+)?\.", "", name)


def _of_docstring(docstring: str) -> Iterator[Sentence]:
    for paragraph in re.split(r"\n\s*\n", docstring):
        if paragraph.startswith((" ", "\t", "-", "*", "|")):
            continue
        for marked in _END.split(" ".join(paragraph.split())):
            if marked.endswith((".", "!", "?")) and not _NO_PROSE.search(marked):
                sentence = unmarked(marked)
                if sentence is not None and _is_sentence(sentence):
                    yield sentence


def _is_sentence(sentence: Sentence) -> bool:
    words = len(sentence.text.split())
    inside = sum(one.end - one.start for one in sentence.mentions)
    return MIN_WORDS <= words <= MAX_WORDS and inside <= 0.5 * len(sentence.text)
