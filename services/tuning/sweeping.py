"""Removes what nothing needs any more: checkpoints of jobs that are over, files of deleted models.

The database decides. Folders that were touched within the hour are left alone, as somebody may be
about to tell of them. Blocking.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bestiary.errors import NotFound
from bestiary.garden import Garden
from bestiary.state.published_models import PublishedModels
from bestiary.state.tuning_jobs import TuningJobs
from services.tuning.publishing import folder_of_models

LEFT_ALONE_S = 3600.0


class Sweeper:
    """`clock` gives seconds since the epoch, as files do."""

    def __init__(
        self,
        home: Path,
        jobs: TuningJobs,
        models: PublishedModels,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._home = home
        self._jobs = jobs
        self._models = models
        self._clock = clock

    def sweep(self) -> None:
        for folder in self._old(self._home / "tuning"):
            if self._is_over(folder.name):
                shutil.rmtree(folder, ignore_errors=True)
        served = {self._home / model.folder for model in self._models.list()}
        for folder in self._old(folder_of_models(self._home)):
            if folder not in served and self._is_over(folder.name):
                shutil.rmtree(folder, ignore_errors=True)
        self._remove_cards()

    def _remove_cards(self) -> None:
        """Whole models have a card and an installed copy in the garden."""
        garden = Garden(self._home)
        known = {card.id for card in garden.cards()}
        for model in self._models.deleted():
            if model.id in known:
                garden.remove(model.id)

    def _old(self, parent: Path) -> Iterator[Path]:
        for folder in parent.glob("*"):
            if self._clock() - folder.stat().st_mtime > LEFT_ALONE_S:
                yield folder

    def _is_over(self, job: str) -> bool:
        try:
            return self._jobs.get(job).status.final
        except NotFound:
            return True
