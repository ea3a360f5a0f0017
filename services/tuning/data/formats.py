"""Which format rows are in, by their keys. The first that fits is it."""

from __future__ import annotations

from collections.abc import Collection

from bestiary.schemas.tuning import DataFormat

KEYS: tuple[tuple[DataFormat, tuple[str, ...]], ...] = (
    (DataFormat.CHAT, ("messages",)),
    (DataFormat.PREFERENCE, ("input", "preferred_output", "non_preferred_output")),
    (DataFormat.PREFERENCE, ("prompt", "chosen", "rejected")),
    (DataFormat.COMPLETION, ("prompt", "completion")),
    (DataFormat.TAGGED_TOKENS, ("tokens", "tags")),
    (DataFormat.TEXT_PAIRS, ("anchor", "positive")),
    (DataFormat.TRANSLATION, ("source", "target")),
    (DataFormat.CAPTIONED_IMAGES, ("file_name", "caption", "data")),
    (DataFormat.LABELLED_TEXT, ("text", "label")),
    (DataFormat.TEXT, ("text",)),
)


def format_of(keys: Collection[str]) -> DataFormat | None:
    """None: the keys are those of no format."""
    return next((format for format, needed in KEYS if set(needed) <= set(keys)), None)


def known_formats() -> str:
    """For errors."""
    told = [needed for format, needed in KEYS if format is not DataFormat.CAPTIONED_IMAGES]
    return " or ".join("{" + ", ".join(f'"{key}"' for key in needed) + "}" for needed in told)
