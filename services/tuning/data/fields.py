"""One field of a row, with the type that it must have. Each fault says the field and the mend."""

from __future__ import annotations

from collections.abc import Mapping

from services.tuning.data.rows import Unfit

MAX_LABEL = 200  # characters

Values = Mapping[str, object]


def text_of(values: Values, key: str, *, where: str = "") -> str:
    """A text with more than blanks in it."""
    text = any_text_of(values, key, where=where)
    if not text.strip():
        raise Unfit(f"`{where}{key}` is empty")
    return text


def any_text_of(values: Values, key: str, *, where: str = "") -> str:
    """A text, which may be empty."""
    if key not in values:
        raise Unfit(f"`{where}{key}` is missing")
    value = values[key]
    if not isinstance(value, str):
        raise Unfit(f"`{where}{key}` must be a text, not {named(value)}")
    return value


def optional_text_of(values: Values, key: str) -> str | None:
    """None where it is missing, null or empty."""
    if values.get(key) in (None, ""):
        return None
    return text_of(values, key)


def label_of(value: object, where: str) -> str:
    """Whole numbers and truth values are labels too."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str):
        raise Unfit(f"`{where}` must be a text or a whole number, not {named(value)}")
    label = value.strip()
    if not label:
        raise Unfit(f"`{where}` is empty")
    if len(label) > MAX_LABEL:
        raise Unfit(f"`{where}` has {len(label)} characters; the limit: {MAX_LABEL}")
    return label


def list_of(values: Values, key: str, *, where: str = "") -> list[object]:
    """A list with something in it."""
    if key not in values:
        raise Unfit(f"`{where}{key}` is missing")
    value = values[key]
    if not isinstance(value, list):
        raise Unfit(f"`{where}{key}` must be a list, not {named(value)}")
    if not value:
        raise Unfit(f"`{where}{key}` is empty")
    return value


def object_of(value: object, where: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise Unfit(f"`{where}` must be an object, not {named(value)}")
    return value


def named(value: object) -> str:
    """A value's type in JSON's words."""
    for kind, name in _NAMES:
        if isinstance(value, kind):
            return name
    return "null" if value is None else type(value).__name__


_NAMES = (
    (bool, "a truth value"),
    (str, "a text"),
    ((int, float), "a number"),
    (list, "a list"),
    (dict, "an object"),
)
