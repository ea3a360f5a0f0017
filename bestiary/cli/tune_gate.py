"""What `--gate` says -> the SDK's gate. Pure.

Each condition is one of: `exact_match>=0.9`, `loss<=1.5`, `f1 improves`, `forgetting<=1.5`,
`none`. What is not mentioned stays as it is: the loss improves, little is forgotten.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from bestiary_client import Gate

from bestiary.errors import InvalidRequest

NONE = "none"
FORGETTING = "forgetting"
_BOUND = re.compile(r"\s*([A-Za-z_][\w.@-]*)\s*(>=|<=)\s*([0-9.eE+-]+)\s*")
_IMPROVES = re.compile(r"\s*([A-Za-z_][\w.@-]*)\s+improves\s*")
_HELP = "'exact_match>=0.9', 'loss<=1.5', 'f1 improves', 'forgetting<=1.5' or 'none'"


def gate_of(conditions: Sequence[str]) -> Gate | None:
    """None: nothing was said. Raises InvalidRequest."""
    if not conditions:
        return None
    if NONE in conditions:
        if len(conditions) > 1:
            raise InvalidRequest("'none' stands alone: it lets everything pass", "gate")
        return Gate(improves=(), max_forgetting=None)
    at_least: dict[str, float] = {}
    at_most: dict[str, float] = {}
    improves: list[str] = []
    forgetting = Gate().max_forgetting
    for condition in conditions:
        improving = _IMPROVES.fullmatch(condition)
        if improving:
            improves.append(improving[1])
            continue
        name, sign, bound = _bound(condition)
        if name == FORGETTING and sign == "<=":
            forgetting = bound
        else:
            (at_least if sign == ">=" else at_most)[name] = bound
    return Gate(at_least, at_most, tuple(improves) or Gate().improves, forgetting)


def _bound(condition: str) -> tuple[str, str, float]:
    found = _BOUND.fullmatch(condition)
    try:
        if found:
            return found[1], found[2], float(found[3])
    except ValueError:
        pass
    raise InvalidRequest(f"{condition!r} is no condition; write {_HELP}", "gate")
