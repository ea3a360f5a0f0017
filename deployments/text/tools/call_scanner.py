"""One call's JSON object, character by character, so that its arguments can be streamed.

    {"name": "get_weather", "arguments": {"city": "Oslo"}}

The keys may come in either order and be called `parameters`, and arguments may be a
string that holds JSON: models do all of that. Other keys are passed over.
"""

from __future__ import annotations

import json
from enum import Enum, auto

ARGUMENT_KEYS = ("arguments", "parameters")
NAME_KEY = "name"
_CONTAINERS = ('"', "{", "[")  # what opens a value that something has to close


class _At(Enum):
    OPENING = auto()
    KEY = auto()
    COLON = auto()
    VALUE = auto()
    AFTER_VALUE = auto()
    DONE = auto()
    BROKEN = auto()


class CallScanner:
    """Feed it from the object's brace on; it takes no more than the object."""

    def __init__(self) -> None:
        self.name: str | None = None
        self._at = _At.OPENING
        self._key = ""
        self._piece = ""  # of the key or value under way
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self._arguments: str | None = None  # not taken yet

    @property
    def done(self) -> bool:
        return self._at is _At.DONE

    @property
    def broken(self) -> bool:
        """It is not such an object. What was taken of its arguments stays as it is."""
        return self._at is _At.BROKEN

    def push(self, text: str) -> int:
        """How many characters of the text were taken; fewer than all where the object ended."""
        for place, character in enumerate(text):
            if self.done or self.broken:
                return place
            self._take(character)
        return len(text)

    def take_arguments(self) -> str:
        """What came of the arguments since the last time."""
        taken, self._arguments = self._arguments or "", None
        return taken

    def _take(self, character: str) -> None:
        if self._at is _At.VALUE:
            self._take_of_value(character)
        elif self._at is _At.KEY and self._piece:
            self._take_of_key(character)
        elif not character.isspace():
            self._take_mark(character)

    def _take_mark(self, character: str) -> None:
        """Between keys and values."""
        if self._at is _At.OPENING and character == "{":
            self._at = _At.KEY
        elif self._at is _At.KEY and character == '"':
            self._piece = character
        elif self._at is _At.COLON and character == ":":
            self._at = _At.VALUE
        elif self._at is _At.AFTER_VALUE and character == ",":
            self._at = _At.KEY
        elif self._at in (_At.AFTER_VALUE, _At.KEY) and character == "}":
            self._at = _At.DONE
        else:
            self._at = _At.BROKEN

    def _take_of_key(self, character: str) -> None:
        self._piece += character
        if self._ends_string(character):
            key = _parsed(self._piece)
            self._key = key if isinstance(key, str) else ""
            self._piece = ""
            self._at = _At.COLON

    def _take_of_value(self, character: str) -> None:
        if self._piece[:1] in _CONTAINERS:
            self._take_within(character)
        elif self._piece or not (character in _CONTAINERS or character.isspace()):
            self._take_of_scalar(character)
        elif character in _CONTAINERS:
            self._piece = character
            self._in_string = character == '"'
            self._depth = 0 if self._in_string else 1
            self._stream(character)

    def _take_within(self, character: str) -> None:
        """A string, an object or a list, up to its end."""
        self._piece += character
        self._stream(character)
        if self._in_string:
            if not self._ends_string(character):
                return
            self._in_string = False
        elif character == '"':
            self._in_string = True
        elif character in "{[":
            self._depth += 1
        elif character in "}]":
            self._depth -= 1
        if self._depth == 0 and not self._in_string:
            self._end_value()

    def _take_of_scalar(self, character: str) -> None:
        """A number, true, false or null: it ends with what follows it."""
        if character in ",}":
            self._end_value()
            if self._at is _At.AFTER_VALUE:
                self._take_mark(character)
        else:
            self._piece += character

    def _stream(self, character: str) -> None:
        """Arguments that are an object are given out as they come."""
        if self._key in ARGUMENT_KEYS and self._piece[0] == "{":
            self._arguments = (self._arguments or "") + character

    def _end_value(self) -> None:
        piece, self._piece = self._piece, ""
        value = None if piece.startswith(("{", "[")) else _parsed(piece)
        self._at = _At.AFTER_VALUE
        if self._key == NAME_KEY:
            self.name = value if isinstance(value, str) else None
            if self.name is None:
                self._at = _At.BROKEN
        elif self._key in ARGUMENT_KEYS and not piece.startswith("{"):
            # A string with JSON in it, or null for none; anything else is as it is.
            written = value if isinstance(value, str) else piece
            self._arguments = "{}" if piece.strip() == "null" else written

    def _ends_string(self, character: str) -> bool:
        """Of a string's characters after its opening quote: whether this one closes it."""
        if self._escaped:
            self._escaped = False
        elif character == "\\":
            self._escaped = True
        else:
            return character == '"'
        return False


def _parsed(text: str) -> object:
    """None too where it is no JSON."""
    try:
        return json.loads(text)
    except ValueError:
        return None
