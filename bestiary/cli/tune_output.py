"""What the SDK gives of tuning, as JSON for scripts."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime

from bestiary_client import (
    Canary,
    JobCheckpoint,
    JobEvent,
    StoredFile,
    TunedModel,
    TuningEstimate,
    TuningJob,
)

Known = Canary | JobCheckpoint | JobEvent | StoredFile | TunedModel | TuningEstimate | TuningJob


def as_json_line(known: Known) -> str:
    """In the SDK's own names; times as ISO 8601."""
    return json.dumps(asdict(known), ensure_ascii=False, default=_time)


def _time(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON")
