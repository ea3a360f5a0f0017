"""A home with a small base model in its garden, a training file, and a job that runs."""

from __future__ import annotations

import json
from pathlib import Path

from bestiary.garden import Garden
from bestiary.profile.load import load_profile
from bestiary.schemas.tuning import Gate, Hyperparameters, Job, Lora
from bestiary.state.database import Database
from bestiary.state.files import FilePurpose
from bestiary.state.tuning_jobs import TuningJobs
from bestiary.state.upgrade import upgrade
from services.tuning.data.checking import check_file
from services.tuning.trainers.run import Workshop
from tests.unit.tuning.small_text_models import installed
from tests.unit.tuning.tuning_values import plan_of_steps, spec_of

BASE = "small-base"
LINES = [{"prompt": f"{n} and one is ", "completion": str(n + 1)} for n in range(40)]


def home_with_base(home: Path) -> Database:
    """Its database, which the caller closes."""
    folder = home / "made"
    folder.mkdir(parents=True)
    installed(folder, name=BASE)
    Garden(home).add(folder, card_id=BASE)
    url = f"sqlite:///{home / 'bestiary.db'}"
    upgrade(url)
    return Database(url)


def workshop_in(home: Path, database: Database) -> Workshop:
    return Workshop.at(home, load_profile("laptop"), database)


def training_file(workshop: Workshop) -> str:
    with workshop.files.receive("sums.jsonl", FilePurpose.FINE_TUNE) as receiving:
        receiving.write("\n".join(map(json.dumps, LINES)).encode())
        stored = receiving.finish()
    report = check_file(workshop.files.path(stored.id), stored.filename).report
    workshop.files.checked(stored.id, report, ())
    return stored.id


def running_job(
    jobs: TuningJobs, file: str, *, steps: int = 8, batch_size: int = 4, **fields: object
) -> Job:
    """Claimed, so that attempt 1 is whoever tells of it."""
    spec = spec_of(
        base=BASE,
        training_file=file,
        gate=Gate(improves=(), max_forgetting=None),
        hyperparameters=Hyperparameters(lora=Lora(rank=4, alpha=8)),
        **fields,
    )
    plan = plan_of_steps(steps, batch_size=batch_size, micro_batch_size=2, evaluate_every=3)
    jobs.create(spec, plan)
    claimed = jobs.claim(100)
    assert claimed is not None
    return claimed
