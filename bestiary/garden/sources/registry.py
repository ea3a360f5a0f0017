"""Scheme -> source."""

from __future__ import annotations

from collections.abc import Mapping

from bestiary.errors import CardInvalid
from bestiary.garden.card import Source
from bestiary.garden.sources.source import WeightSource


class Registry:
    def __init__(self, sources: Mapping[str, WeightSource]) -> None:
        self._sources = dict(sources)

    def source_for(self, source: Source) -> WeightSource:
        """Raises CardInvalid, listing the known schemes."""
        scheme = source.url.partition("://")[0]
        if scheme not in self._sources:
            known = ", ".join(f"{name}://" for name in sorted(self._sources))
            raise CardInvalid(f"{source.url}: unknown scheme {scheme!r}; known: {known}")
        return self._sources[scheme]
