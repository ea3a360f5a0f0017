"""A tuned model becomes a card that is served: its files in their place, then its record.

Done again it changes nothing: the id comes from the job. Knows no trainer and no HTTP.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bestiary.errors import ModelNotFound
from bestiary.garden import Garden, InstalledModel, ModelCard
from bestiary.garden.tuned_card import TunedFrom
from bestiary.profile.applications import prepare
from bestiary.profile.models import Profile
from bestiary.profile.published import application_of
from bestiary.progress import Silent
from bestiary.schemas.publishing import PublishedModel
from bestiary.schemas.tuning import Evaluation, Job, Lineage, PublishedKind
from bestiary.state.files import Files
from bestiary.state.published_models import PublishedModels

SHORT_ID = 8  # characters of the job's id that make the model's unique


def model_id(job: Job) -> str:
    """`ft:<base>:<suffix>:<id>`, as OpenAI names tuned models."""
    return f"ft:{job.spec.base}:{job.spec.suffix}:{job.id.removeprefix('ftjob-')[:SHORT_ID]}"


def folder_of_models(home: Path) -> Path:
    """Has a folder for each tuned model, named after its job."""
    return home / "tuned"


class Publisher:
    """Puts a model where it stays, and tells of it."""

    def __init__(self, home: Path, profile: Profile, models: PublishedModels) -> None:
        self._home = home
        self._profile = profile
        self._garden = Garden(home)
        self._models = models

    def publish(
        self,
        job: Job,
        base: InstalledModel,
        saved: Path,
        kind: PublishedKind,
        evaluation: Evaluation,
        *,
        training_seconds: float,
        files: Files,
    ) -> PublishedModel:
        """`saved` is moved. The model is built for serving before anybody can ask for it.

        Raises GardenError or KernelError where it cannot be served.
        """
        with suppress(ModelNotFound):
            return self._models.get(model_id(job))  # an attempt before this one came so far
        lineage = _lineage(job, base, evaluation, training_seconds, files)
        folder = self._place(saved, job)
        model = PublishedModel(
            card=self._card(job, base.card, folder, kind),
            base=job.spec.base,
            kind=kind,
            folder=str(folder.relative_to(self._home)),
            lineage=lineage,
            min_replicas=job.spec.min_replicas,
            created_at=lineage.created_at,
        )
        if kind is PublishedKind.MODEL:
            prepare(application_of(self._profile, model), Silent())
        self._models.add(model)
        return model

    def _place(self, saved: Path, job: Job) -> Path:
        """What is there already an attempt before this one left, and nobody was told of."""
        folder = folder_of_models(self._home) / job.id
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        saved.rename(folder)
        return folder

    def _card(self, job: Job, base: ModelCard, folder: Path, kind: PublishedKind) -> ModelCard:
        made = TunedFrom(
            base,
            title=f"{base.title}, tuned: {job.spec.suffix}",
            description=f"{base.id} tuned by {job.spec.method} in job {job.id}",
            provenance=f"tuning job {job.id} on {base.id} ({base.provenance})",
        )
        if kind is PublishedKind.ADAPTER:
            return made.adapted(model_id(job))
        return self._garden.add(folder, card_id=model_id(job), tuned_from=made)


def _lineage(
    job: Job, base: InstalledModel, evaluation: Evaluation, seconds: float, files: Files
) -> Lineage:
    assert job.plan is not None
    spec = job.spec
    validation = None if spec.validation_file is None else files.get(spec.validation_file).sha256
    return Lineage(
        job=job.id,
        base=spec.base,
        base_revision=base.revision,
        training_sha256=files.get(spec.training_file).sha256,
        validation_sha256=validation,
        code_version=version("bestiary"),
        method=spec.method,
        hyperparameters=spec.hyperparameters,
        plan=job.plan,
        seed=spec.seed,
        evaluation=evaluation,
        trained_tokens=job.trained_tokens,
        training_seconds=seconds,
        created_at=datetime.now(UTC),
    )
