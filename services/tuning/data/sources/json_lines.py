"""JSONL: one JSON object a line. https://jsonlines.org"""

from __future__ import annotations

from pathlib import Path

import orjson

from bestiary.schemas.tuning import Problem
from services.tuning.data.limits import DataLimits
from services.tuning.data.rows import Row, Rows
from services.tuning.data.sources.lines import Line, lines_of


def json_rows(path: Path, limits: DataLimits) -> Rows:
    """Blank lines are passed over."""
    for line in lines_of(path):
        if isinstance(line, Problem):
            yield line
        elif line.text.strip():
            yield _row(line)


def _row(line: Line) -> Row | Problem:
    try:
        document = orjson.loads(line.text)
    except orjson.JSONDecodeError as error:
        return _problem(line, f"not valid JSON: {error}")
    if not isinstance(document, dict):
        return _problem(line, "not a JSON object: a line is {...}")
    return Row(line.number, document)


def _problem(line: Line, reason: str) -> Problem:
    if line.number == 1 and line.text.lstrip().startswith("["):
        reason += "; write one object a line (JSONL), not one array over all"
    return Problem(line=line.number, reason=reason)
