"""A client of this machine's platform, for commands that use it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bestiary_client import Bestiary, ConnectionFailed

from bestiary.cli.context import Context
from bestiary.errors import Unavailable


@contextmanager
def connected(ctx: Context) -> Iterator[Bestiary]:
    """Raises Unavailable where none runs."""
    if not ctx.settings.key_file.exists():
        raise Unavailable(
            f"no platform has run with {ctx.settings.home} yet: start one with `bestiary up`"
        )
    with ctx.client() as client:
        try:
            yield client
        except ConnectionFailed as error:
            raise Unavailable(
                f"no platform answers at {ctx.instance.url}: start it with `bestiary up`"
            ) from error
