"""Runs the unmodified `openai` SDK's files and fine_tuning calls and prints one line per check.

    python openai_tuning_check.py --base-url http://127.0.0.1:8000 --key KEY

Needs only the SDK: run it from a virtual environment of its own. Exits with 1 where a check
failed. Its jobs are paused or cancelled at once: nothing is trained. Files are deleted again.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

import openai
from openai.types import FileObject
from openai.types.fine_tuning import FineTuningJob, FineTuningJobEvent

CHATS = [
    {
        "messages": [
            {"role": "user", "content": f"What is {n} and one?"},
            {"role": "assistant", "content": f"It is {n + 1}."},
        ]
    }
    for n in range(24)
]
PREFERENCES = [
    {
        "input": {"messages": [{"role": "user", "content": f"Say {n}."}]},
        "preferred_output": [{"role": "assistant", "content": str(n)}],
        "non_preferred_output": [{"role": "assistant", "content": "No."}],
    }
    for n in range(24)
]


def jsonl(rows: list[dict]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def valid(value: openai.BaseModel) -> None:
    """The SDK builds its values unchecked; this checks them against their types."""
    type(value).model_validate(value.to_dict(), strict=True)


class Checks:
    def __init__(self, base_url: str, key: str, model: str) -> None:
        self.model = model
        self.client = openai.OpenAI(
            base_url=base_url.rstrip("/") + "/v1", api_key=key, max_retries=0, timeout=120
        )

    def _file(self, rows: list[dict] = CHATS, name: str = "train.jsonl") -> FileObject:
        return self.client.files.create(file=(name, jsonl(rows)), purpose="fine-tune")

    def _job(self, **more: object) -> FineTuningJob:
        """Cancelled already."""
        more.setdefault("training_file", self._file().id)
        job = self.client.fine_tuning.jobs.create(model=self.model, **more)
        return self.client.fine_tuning.jobs.cancel(job.id)

    def check_a_file_is_kept_and_checked(self) -> None:
        file = self._file()
        valid(file)
        assert (file.status, file.purpose, file.filename) == (
            "processed",
            "fine-tune",
            "train.jsonl",
        )
        assert file.model_extra["bestiary"]["examples"] == len(CHATS)
        again = self.client.files.retrieve(file.id)
        assert again == file
        assert self.client.files.content(file.id).read() == jsonl(CHATS)
        assert self.client.files.wait_for_processing(file.id).status == "processed"
        deleted = self.client.files.delete(file.id)
        assert deleted.deleted
        self._raises(openai.NotFoundError, lambda: self.client.files.retrieve(file.id))

    def check_a_file_from_a_path(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "chats.jsonl"
            path.write_bytes(jsonl(CHATS))
            file = self.client.files.create(file=path, purpose="fine-tune")
            with path.open("rb") as opened:
                other = self.client.files.create(file=opened, purpose="fine-tune")
        assert file.filename == other.filename == "chats.jsonl"
        self.client.files.delete(file.id)
        self.client.files.delete(other.id)

    def check_files_page_by_page(self) -> None:
        made = [
            self.client.files.create(file=io.BytesIO(b"x"), purpose="user_data").id
            for _ in range(5)
        ]
        newest_first = self.client.files.list(purpose="user_data", limit=2)
        found = [file.id for file in newest_first if file.id in made]
        assert found == made[::-1], found
        oldest_first = self.client.files.list(purpose="user_data", limit=2, order="asc")
        assert [file.id for file in oldest_first if file.id in made] == made
        for one in made:
            self.client.files.delete(one)

    def check_a_bad_file_tells_its_lines(self) -> None:
        bad = jsonl(CHATS) + b"not json\n"
        error = self._raises(
            openai.BadRequestError,
            lambda: self.client.files.create(file=("bad.jsonl", bad), purpose="fine-tune"),
        )
        assert f"line {len(CHATS) + 1}" in str(error), error

    def check_a_job(self) -> None:
        file = self._file()
        job = self.client.fine_tuning.jobs.create(
            model=self.model,
            training_file=file.id,
            suffix="sums",
            seed=7,
            metadata={"team": "sea"},
            method={
                "type": "supervised",
                "supervised": {"hyperparameters": {"n_epochs": 2, "batch_size": "auto"}},
            },
        )
        paused = self.client.fine_tuning.jobs.pause(job.id)
        resumed = self.client.fine_tuning.jobs.resume(job.id)
        cancelled = self.client.fine_tuning.jobs.cancel(job.id)
        valid(job)
        valid(cancelled)
        assert (job.seed, job.metadata, job.training_file) == (7, {"team": "sea"}, file.id)
        assert job.method.supervised.hyperparameters.n_epochs == 2
        assert job.hyperparameters.n_epochs == 2
        assert job.status in ("queued", "running")
        assert paused.status == "paused"
        assert resumed.status in ("queued", "running")
        assert cancelled.status == "cancelled"
        assert cancelled.finished_at >= cancelled.created_at
        assert self.client.fine_tuning.jobs.retrieve(job.id) == cancelled
        assert cancelled.model_extra["bestiary"]["plan"]["steps"] > 0

    def check_a_job_the_older_way(self) -> None:
        job = self._job(hyperparameters={"n_epochs": 3, "learning_rate_multiplier": 0.5})
        valid(job)
        assert job.hyperparameters.n_epochs == 3
        assert job.hyperparameters.learning_rate_multiplier == 0.5

    def check_a_job_on_preferences(self) -> None:
        file = self._file(PREFERENCES)
        method = {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.2}}}
        job = self._job(training_file=file.id, method=method)
        valid(job)
        assert job.method.type == "dpo"
        assert job.method.dpo.hyperparameters.beta == 0.2

    def check_an_extension_in_extra_body(self) -> None:
        job = self._job(extra_body={"bestiary": {"hyperparameters": {"steps": 5}}})
        assert job.model_extra["bestiary"]["plan"]["steps"] == 5

    def check_jobs_page_by_page_and_by_metadata(self) -> None:
        file = self._file().id
        metadata = {"run": file}
        made = [self._job(training_file=file, seed=n, metadata=metadata).id for n in range(3)]
        found = list(self.client.fine_tuning.jobs.list(limit=2, metadata=metadata))
        assert [job.id for job in found] == made[::-1]
        for job in found:
            valid(job)

    def check_events_page_by_page(self) -> None:
        job = self._job()
        events = list(self.client.fine_tuning.jobs.list_events(job.id, limit=1))
        assert len(events) >= 2
        assert all(isinstance(event, FineTuningJobEvent) for event in events)
        assert events[0].created_at >= events[-1].created_at
        for event in events:
            valid(event)

    def check_checkpoints(self) -> None:
        for checkpoint in self.client.fine_tuning.jobs.checkpoints.list(self._job().id):
            valid(checkpoint)

    def check_errors_are_the_sdks(self) -> None:
        jobs, file = self.client.fine_tuning.jobs, self._file().id
        self._raises(openai.NotFoundError, lambda: jobs.retrieve("ftjob-nowhere"))
        self._raises(
            openai.NotFoundError, lambda: jobs.create(model=self.model, training_file="file-x")
        )
        unknown = self._raises(
            openai.NotFoundError, lambda: jobs.create(model="no-such-model", training_file=file)
        )
        assert unknown.code == "model_not_found"
        bad = self._raises(
            openai.BadRequestError,
            lambda: jobs.create(model=self.model, training_file=file, suffix="Not a name!"),
        )
        assert bad.param == "suffix"
        ended = self._job(training_file=file)
        self._raises(openai.ConflictError, lambda: jobs.resume(ended.id))

    def check_models_that_were_not_tuned_stay(self) -> None:
        self._raises(openai.PermissionDeniedError, lambda: self.client.models.delete(self.model))

    @staticmethod
    def _raises(
        cls: type[openai.APIStatusError], call: Callable[[], object]
    ) -> openai.APIStatusError:
        raised: openai.APIStatusError | None = None
        try:
            call()
        except cls as error:
            raised = error
        assert raised is not None, f"{cls.__name__} was not raised"
        return raised


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base-url", required=True, help="for instance http://127.0.0.1:8000")
    parser.add_argument("--key", required=True)
    parser.add_argument("--model", default="gecko")
    options = parser.parse_args()
    checks = Checks(options.base_url, options.key, options.model)
    failed = 0
    for name in [name for name in vars(Checks) if name.startswith("check_")]:
        title = name.removeprefix("check_").replace("_", " ")
        try:
            getattr(checks, name)()
        except Exception:  # noqa: BLE001  (every check runs, whatever became of the others)
            failed += 1
            print(f"FAILED  {title}\n{traceback.format_exc()}", flush=True)
        else:
            print(f"ok      {title}", flush=True)
    print(f"openai {openai.__version__}: {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
