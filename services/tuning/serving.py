"""Tuned models that stand alone get deployments of their own, while the platform runs.

What ought to be is in the database, what is, Serve knows: what is missing is deployed, what was
deleted goes. Other adapters need nothing here: replicas of their base read them when asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Protocol

from bestiary.errors import BestiaryError
from bestiary.profile.applications import ApplicationSpec, TuningArgs
from bestiary.profile.published import PREFIX, application_of, stands_alone
from bestiary.state.published_models import PublishedModels

_logger = logging.getLogger(__name__)


class Applications(Protocol):
    """Serve, as far as it is needed. Blocking."""

    def names(self) -> Iterable[str]: ...

    def deploy(self, spec: ApplicationSpec) -> None: ...

    def delete(self, name: str) -> None: ...


class TunedDeployments:
    """`tick` is called about once a second; it asks Serve only where the models changed."""

    def __init__(
        self, args: TuningArgs, models: PublishedModels, applications: Applications
    ) -> None:
        self._args = args
        self._models = models
        self._applications = applications
        self._served: int | None = None  # the version of the published models that is deployed

    def tick(self) -> None:
        version = self._models.version()
        if version == self._served:
            return
        wanted = {spec.name: spec for spec in self._specs()}
        present = {name for name in self._applications.names() if name.startswith(PREFIX)}
        for name in wanted.keys() - present:
            self._deploy(wanted[name])
        for name in present - wanted.keys():
            _logger.info("deleting %s", name)
            self._applications.delete(name)
        self._served = version

    def _deploy(self, spec: ApplicationSpec) -> None:
        """One that cannot be built is left out, and tried again after the next change."""
        _logger.info("deploying %s", spec.name)
        try:
            self._applications.deploy(spec)
        except BestiaryError as error:
            _logger.warning("%s cannot be deployed: %s", spec.name, error)

    def _specs(self) -> Iterator[ApplicationSpec]:
        """A model that this profile cannot serve any more is left out, and said."""
        for model in self._models.list():
            if not stands_alone(model):
                continue
            try:
                yield application_of(self._args.profile, model, self._args.served)
            except BestiaryError as error:
                _logger.warning("%s is not deployed: %s", model.id, error)
