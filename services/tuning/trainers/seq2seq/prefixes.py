"""What stands before a source: what a replica of the base would put there for the same task.

Of `config.json`, where T5 and this repository's translators name it for each task; chosen as
`deployments/seq2seq/tasks.py` chooses.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from bestiary.errors import InvalidRequest
from bestiary.garden.card import ModelCard
from bestiary.garden.tasks import Task, tasks_of

SUMMARIZATION = "summarization"


class Prefixes:
    def __init__(self, card: ModelCard, folder: Path) -> None:
        self._card = card
        self._pairs = [_split(pair) for pair in card.languages]
        self._translates = Task.TRANSLATE in tasks_of(card)
        self._summarizes = Task.SUMMARIZE in tasks_of(card)
        self._named = _named_prefixes(folder)

    def of(self, source: str | None, target: str | None) -> str:
        """`source` and `target`: languages, where the example says them.

        Raises InvalidRequest where the base does not translate so, or several would fit.
        """
        said = source is not None or target is not None
        if not self._translates or (self._summarizes and not said):
            return self._prefix(SUMMARIZATION)
        if not self._pairs:
            return self._prefix("")
        fitting = [(a, b) for a, b in self._pairs if source in (None, a) and target in (None, b)]
        if len(fitting) == 1:
            first, second = fitting[0]
            return self._prefix(f"translation_{first}_to_{second}")
        known = ", ".join(self._card.languages)
        if fitting:
            raise InvalidRequest(
                f"{self._card.id} translates {known}: every line must say its target_language",
                "training_file",
            )
        asked = f"from {source or 'any'} to {target or 'any'}"
        raise InvalidRequest(
            f"{self._card.id} does not translate {asked}; it has: {known}", "training_file"
        )

    def _prefix(self, task: str) -> str:
        return self._named.get(task, self._named.get("", ""))


def _named_prefixes(folder: Path) -> dict[str, str]:
    """Task -> prefix; "" is for tasks that are not named."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    found = {"": str(config.get("prefix") or "")}
    tasks = config.get("task_specific_params")
    for name, values in (tasks if isinstance(tasks, Mapping) else {}).items():
        if isinstance(values, Mapping) and "prefix" in values:
            found[str(name)] = str(values["prefix"] or "")
    return found


def _split(pair: str) -> tuple[str, str]:
    source, target = pair.split("-")
    return source, target
