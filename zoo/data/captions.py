"""What one would say of an emoji: its name, its keywords, its style, its skin tone.

A fixed list per picture, the same in every run. Knows strings only.
"""

from __future__ import annotations

import random

from zoo.data.emoji import Picture

STYLES = {"twitter": "twemoji style", "google": "noto style"}
NAME = "name"
_CHANCES = {NAME: 0.4, "named": 0.2, "keywords": 0.15, "style": 0.25}


def captions_of(picture: Picture) -> list[tuple[str, float]]:
    """Each with the chance that it is drawn; the chances sum to one."""
    name = title_of(picture)
    variants = {
        NAME: [name],
        "named": [f"{name}, {', '.join(words)}" for words in _some(picture, 2)],
        "keywords": [" ".join(words) for words in _some(picture, 3)],
        "style": [f"{name}, {STYLES[picture.art]}"],
    }
    if picture.tone is not None:  # the tone is what is new about it
        variants = {NAME: [name]}
    found = {kind: texts for kind, texts in variants.items() if texts}
    total = sum(_CHANCES[kind] for kind in found)
    return [
        (text, _CHANCES[kind] / total / len(texts))
        for kind, texts in found.items()
        for text in texts
    ]


def title_of(picture: Picture) -> str:
    """The shortest that tells it from every other emoji."""
    return picture.name if picture.tone is None else f"{picture.name}, {picture.tone}"


def _some(picture: Picture, count: int) -> list[tuple[str, ...]]:
    """One draw of at most `count` keywords that are not in the name; none where it has none."""
    draw = random.Random(f"{picture.base}:{count}")  # noqa: S311 - an order, no secret
    spoken = set(picture.name.split())
    words = [word for word in picture.keywords if word not in spoken] or list(picture.keywords)
    return [tuple(draw.sample(words, min(count, len(words))))] if words else []
