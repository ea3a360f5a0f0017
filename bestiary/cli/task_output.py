"""What all tasks print alike: results as JSON, and a word where a text was cut."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict

from bestiary_client import Explanation, Results

from bestiary.cli.screen import errors


def print_json(found: Results[object] | Explanation) -> None:
    """All that the SDK gives, but for the receipt, in its own names."""
    fields = {name: value for name, value in asdict(found).items() if name != "receipt"}
    print(json.dumps(fields, ensure_ascii=False))


def warn_of_cuts(cuts: Iterable[bool]) -> None:
    """To stderr; `cuts` says of each text whether it was cut. Nothing where none was."""
    numbers = [str(number) for number, cut in enumerate(cuts, 1) if cut]
    if numbers:
        told = ", ".join(numbers)
        errors.print(f"[yellow]cut to the model's length:[/yellow] text {told}")
