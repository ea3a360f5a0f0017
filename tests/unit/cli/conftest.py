"""Lets the tests here import the SDK's scripted server."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "clients" / "python" / "tests"))
