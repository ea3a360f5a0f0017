"""The public surface is `__all__`: sorted, complete, and everything else private."""

from __future__ import annotations

from types import ModuleType

import bestiary_client

TOP_LEVEL = {name: value for name, value in vars(bestiary_client).items() if name[0] != "_"}


def test_all_is_sorted_and_complete() -> None:
    public = {name for name, value in TOP_LEVEL.items() if not isinstance(value, ModuleType)}
    assert bestiary_client.__all__ == sorted(public)


def test_no_module_is_public() -> None:
    assert not [name for name, value in TOP_LEVEL.items() if isinstance(value, ModuleType)]
