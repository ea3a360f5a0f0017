"""What is written into a file that is handed out: which model made it, and of what.

A prompt is hashed: whoever has it can tell that it was this one, nobody can read it. No time is
written, so that the same request gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

SOFTWARE = "Bestiary"


@dataclass(frozen=True, slots=True)
class Provenance:
    """None: has no part in it."""

    model: str  # card id
    revision: str  # of the weights
    task: str
    seed: int | None = None
    prompt_sha256: str | None = None
    sampler: str | None = None
    steps: int | None = None
    guidance_scale: float | None = None
    preview: bool = False

    def as_json(self) -> str:
        said = {name: value for name, value in asdict(self).items() if value not in (None, False)}
        return json.dumps({"software": SOFTWARE} | said)


def prompt_hash(*texts: str) -> str:
    """sha256 over the texts, in hex."""
    return hashlib.sha256("\x00".join(texts).encode()).hexdigest()
