"""Lets the tests here import `text_fakes`: pytest's importlib mode adds no folder by itself."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

with warnings.catch_warnings():
    # Ray's own models use what pydantic deprecates; tests turn warnings into errors.
    warnings.simplefilter("ignore")
    import ray.serve  # noqa: F401
