"""YAML text -> plain JSON values, with the line that each one stands on.

Refuses what YAML allows and a profile never means: duplicate keys, keys that are not
strings, dates, merge keys, tags, numbers without an end, nesting without a bound.
Knows nothing of profiles.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

import yaml
from pydantic import JsonValue

from bestiary.errors import ProfileInvalid

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
MAX_VALUES = 20_000  # aliases may repeat values; their product stays bounded

KeyPath: TypeAlias = tuple[str | int, ...]

_TAG = "tag:yaml.org,2002:"
_SCALARS = {_TAG + kind for kind in ("str", "int", "float", "bool", "null")}


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """One document: its values, and for each path the line of its key or item, from 1."""

    name: str
    data: JsonValue
    lines: Mapping[KeyPath, int]

    def line(self, path: KeyPath) -> int:
        """Line of the path, or of its nearest ancestor that the file has."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def where(self, path: KeyPath) -> str:
        return f"{self.name}:{self.line(path)}"


def parse_yaml(text: str, name: str) -> YamlDocument:
    """`name` is the file as errors shall call it. Raises ProfileInvalid."""
    if len(text.encode()) > MAX_BYTES:
        raise ProfileInvalid(f"is over {MAX_BYTES // 1024} KiB", name)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 1
        raise ProfileInvalid(f"not YAML: {_reason(error)}", f"{name}:{line}") from error
    except yaml.YAMLError as error:  # a reader's error: a character that YAML forbids
        raise ProfileInvalid(f"not YAML: {error}", name) from error
    except RecursionError as error:
        raise ProfileInvalid(f"nests deeper than {MAX_DEPTH} levels", name) from error
    if root is None:
        raise ProfileInvalid("is empty", f"{name}:1")
    reader = _Reader(name)
    data = reader.value(root, ())
    return YamlDocument(name=name, data=data, lines=reader.lines)


def dotted(path: KeyPath) -> str:
    """`tiers.gecko.fallback[0]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _reason(error: yaml.MarkedYAMLError) -> str:
    return " ".join(part for part in (error.context, error.problem) if part)


class _Reader:
    """Walks composed nodes; one use."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._scalars = yaml.SafeLoader("")
        self._values = 0
        self.lines: dict[KeyPath, int] = {}

    def value(self, node: yaml.Node, path: KeyPath) -> JsonValue:
        self._bound(node, path)
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return self._sequence(node, path)
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> JsonValue:
        found: dict[str, JsonValue] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, path)
            here = (*path, key)
            if key in found:
                self._refuse(
                    key_node, f"{dotted(here)} is given twice, first on line {self.lines[here]}"
                )
            self.lines[here] = _line(key_node)
            found[key] = self.value(value_node, here)
        return found

    def _sequence(self, node: yaml.SequenceNode, path: KeyPath) -> JsonValue:
        found: list[JsonValue] = []
        for index, item in enumerate(node.value):
            here = (*path, index)
            self.lines[here] = _line(item)
            found.append(self.value(item, here))
        return found

    def _key(self, node: yaml.Node, path: KeyPath) -> str:
        parent = dotted(path) or "the top"
        if node.tag == _TAG + "merge":
            self._refuse(node, f"under {parent}: merge keys (<<) are not read; write the keys out")
        if not isinstance(node, yaml.ScalarNode) or node.tag != _TAG + "str":
            shown = node.value if isinstance(node, yaml.ScalarNode) else "this key"
            self._refuse(node, f"under {parent}: {shown!r} is not a string; quote it")
        return str(node.value)

    def _scalar(self, node: yaml.Node, path: KeyPath) -> JsonValue:
        if not isinstance(node, yaml.ScalarNode) or node.tag not in _SCALARS:
            kind = node.tag.removeprefix(_TAG)
            self._refuse(node, f"{dotted(path)}: a YAML {kind} is not read; quote it as a string")
        try:
            found = self._scalars.construct_object(node)
        except ValueError as error:  # such as an integer of 5,000 digits
            self._refuse(node, f"{dotted(path)}: {error}")
        if isinstance(found, float) and not math.isfinite(found):
            self._refuse(node, f"{dotted(path)}: {node.value} is not a finite number")
        if found is None or isinstance(found, str | int | float):
            return found
        raise AssertionError(f"{node.tag} gave {type(found)}")

    def _bound(self, node: yaml.Node, path: KeyPath) -> None:
        self._values += 1
        if len(path) > MAX_DEPTH:
            self._refuse(node, f"nests deeper than {MAX_DEPTH} levels")
        if self._values > MAX_VALUES:
            self._refuse(node, f"has more than {MAX_VALUES} values")

    def _refuse(self, node: yaml.Node, message: str) -> NoReturn:
        raise ProfileInvalid(message, f"{self._name}:{_line(node)}")


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
