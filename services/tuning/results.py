"""A job's steps as the CSV file that OpenAI's API gives with a finished job."""

from __future__ import annotations

import csv
import io

from bestiary.state.files import FilePurpose, Files
from bestiary.state.tuning_jobs import TuningJobs


def results_csv(jobs: TuningJobs, files: Files, job_id: str) -> str:
    """The stored file's id; made once for a job."""
    filename = f"{job_id}_steps.csv"
    for present in files.list(purpose=FilePurpose.FINE_TUNE_RESULTS, limit=10_000).data:
        if present.filename == filename:
            return present.id
    with files.receive(filename, FilePurpose.FINE_TUNE_RESULTS) as receiving:
        receiving.write(_table(jobs, job_id).encode())
        return receiving.finish().id


def _table(jobs: TuningJobs, job_id: str) -> str:
    rows = [event.data for event in jobs.metrics(job_id)]
    columns = list(dict.fromkeys(("step", *(name for row in rows for name in row))))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
