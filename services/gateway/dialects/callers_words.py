"""What a replica refuses, in the caller's words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from bestiary.errors import InvalidRequest


@contextmanager
def in_the_callers_words(public_names: Mapping[str, str]) -> Iterator[None]:
    """A replica names the field of its own request; the caller may have sent another."""
    try:
        yield
    except InvalidRequest as error:
        if error.param is not None and error.param in public_names:
            named = public_names[error.param]
            error.message = error.message.replace(f"the {error.param}", named)
            error.param = named
        raise
