"""`a (red:1.3) fox` -> the plain text and how much each part of it weighs. Knows no tokens.

`(x)` weighs 1.1, `(x:w)` weighs w, brackets within brackets multiply, `\\(` is a bracket. A bracket
without its other half is text, so that a smiling face in a prompt is one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bestiary.errors import InvalidRequest

EMPHASIS = 1.1
HEAVIEST = 10.0
WEIGHT = re.compile(r":\s*(-?\d+(?:\.\d+)?)\s*$")


@dataclass(frozen=True, slots=True)
class WeightedPrompt:
    text: str
    weights: tuple[float, ...]  # of each character

    @property
    def is_plain(self) -> bool:
        return all(weight == 1 for weight in self.weights)


def weighted(prompt: str, param: str) -> WeightedPrompt:
    """Raises InvalidRequest for a weight beyond 0..10, naming `param`."""
    pairs = _pairs(prompt)
    found: list[tuple[str, float]] = []
    _read(prompt, 0, len(prompt), 1.0, pairs, found, param)
    return WeightedPrompt(
        "".join(character for character, _ in found), tuple(weight for _, weight in found)
    )


def _pairs(prompt: str) -> dict[int, int]:
    """Place of each opening bracket that is closed -> place of its closing one."""
    pairs: dict[int, int] = {}
    opened: list[int] = []
    place = 0
    while place < len(prompt):
        if prompt[place] == "\\":
            place += 1
        elif prompt[place] == "(":
            opened.append(place)
        elif prompt[place] == ")" and opened:
            pairs[opened.pop()] = place
        place += 1
    return pairs


def _read(
    prompt: str,
    start: int,
    end: int,
    weight: float,
    pairs: dict[int, int],
    found: list[tuple[str, float]],
    param: str,
) -> None:
    place = start
    while place < end:
        character = prompt[place]
        if character == "\\" and place + 1 < end and prompt[place + 1] in "()\\":
            found.append((prompt[place + 1], weight))
            place += 2
        elif character == "(" and place in pairs:
            close = pairs[place]
            inner_end, factor = _weight_of(prompt, place + 1, close, param)
            _read(prompt, place + 1, inner_end, weight * factor, pairs, found, param)
            place = close + 1
        else:
            found.append((character, weight))
            place += 1


def _weight_of(prompt: str, start: int, close: int, param: str) -> tuple[int, float]:
    said = WEIGHT.search(prompt, start, close)
    if said is None:
        return close, EMPHASIS
    weight = float(said.group(1))
    if not 0 <= weight <= HEAVIEST:
        raise InvalidRequest(f"the weight {said.group(1)} is not within 0..{HEAVIEST:g}", param)
    return said.start(), weight
