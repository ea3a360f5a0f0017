"""The known ways of writing tool calls, by name, and which of them a model follows."""

from __future__ import annotations

from collections.abc import Mapping

from bestiary.errors import CardInvalid
from deployments.text.tools.hermes import HERMES
from deployments.text.tools.llama3_json import LLAMA3_JSON
from deployments.text.tools.plain_json import PLAIN_JSON
from deployments.text.tools.tool_format import ToolFormat

FORMATS: Mapping[str, ToolFormat] = {one.name: one for one in (HERMES, LLAMA3_JSON, PLAIN_JSON)}
MARKERS = tuple(marker for one in FORMATS.values() for marker in one.syntax.markers)


def format_named(name: str) -> ToolFormat:
    """Raises CardInvalid."""
    found = FORMATS.get(name)
    if found is None:
        known = ", ".join(FORMATS)
        raise CardInvalid(f"no tool format is called {name!r}; known: {known}")
    return found


def format_of(template: str | None) -> ToolFormat:
    """What a chat template's source asks its model for.

    One that asks for nothing gets its instructions from `in_words.py`, which are Hermes'.
    """
    source = template or ""
    if HERMES.syntax.opening_marker in source or "tools" not in source:
        return HERMES
    if "<|python_tag|>" in source or '"parameters": ' in source:
        return LLAMA3_JSON
    return PLAIN_JSON
