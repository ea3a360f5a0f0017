"""What a dialect is to the rest of the gateway. A new one is one file that makes one of these."""

from __future__ import annotations

from dataclasses import dataclass

from services.gateway.error_mapping import ErrorStyle


@dataclass(frozen=True, slots=True)
class Dialect:
    """A public API shape: where it lives and how it says that something went wrong."""

    name: str  # the metrics' label
    prefixes: tuple[str, ...]  # of its paths; of two dialects' the longer one counts
    errors: ErrorStyle


class Dialects:
    """Path -> dialect. The first one also speaks for paths that belong to none."""

    def __init__(self, dialects: tuple[Dialect, ...]) -> None:
        self._first = dialects[0]
        by_prefix = [(prefix, dialect) for dialect in dialects for prefix in dialect.prefixes]
        self._by_prefix = tuple(sorted(by_prefix, key=lambda one: -len(one[0])))

    def of(self, path: str) -> Dialect:
        for prefix, dialect in self._by_prefix:
            if path.startswith(prefix):
                return dialect
        return self._first
