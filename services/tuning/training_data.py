"""Training files in the store: checked when they come, measured when a job needs them."""

from __future__ import annotations

from collections.abc import Sequence

from bestiary.errors import InvalidRequest
from bestiary.garden import Garden, InstalledModel
from bestiary.profile.models import Tuning
from bestiary.schemas.tuning import FORMATS, DataReport, JobSpec, Problem
from bestiary.state.files import FilePurpose, Files, FileStatus, StoredFile
from services.tuning.apart import checked, measured
from services.tuning.data.limits import DataLimits
from services.tuning.measuring import Checking, File, Measured, Measuring, Reader

MAX_PROBLEMS_TOLD = 20
MAX_PROBLEM_CHARACTERS = 300
TOKENIZER = "tokenizer.json"


class TrainingData:
    """Blocking, and long for long files."""

    def __init__(self, files: Files, garden: Garden, settings: Tuning) -> None:
        self._files = files
        self._garden = garden
        self._limits = DataLimits(
            max_bytes=int(settings.max_file_mb * 2**20), max_examples=settings.max_examples
        )

    def check(self, file: StoredFile) -> StoredFile:
        """A training file is read through; others are taken as they are.

        Raises InvalidRequest that tells the bad lines; the file is then gone.
        """
        if file.purpose is not FilePurpose.FINE_TUNE:
            return self._files.checked(file.id, None, ())
        found = checked(Checking(file=self._file(file), limits=self._limits))
        if found.problems:
            self._files.delete(file.id)
            raise InvalidRequest(_told(file.filename, found.problems), "file")
        return self._files.checked(file.id, found.report, ())

    def trainable(self, file_id: str, param: str) -> StoredFile:
        """A good training file. Raises NotFound, InvalidRequest."""
        file = self._files.get(file_id)
        if file.purpose is not FilePurpose.FINE_TUNE:
            raise InvalidRequest(
                f"file {file.id} was uploaded for {file.purpose}: upload it for fine-tune", param
            )
        if file.status is FileStatus.UPLOADED:  # killed between the upload and its check
            file = self.check(file)
        if file.status is not FileStatus.PROCESSED:
            raise InvalidRequest(_told(file.filename, file.problems), param)
        return file

    def measure(self, spec: JobSpec) -> Measured:
        """In the base model's tokens. Raises NotFound, InvalidRequest."""
        training = self._fitting(spec.training_file, spec, "training_file")
        validation = None
        if spec.validation_file is not None:
            validation = self._fitting(spec.validation_file, spec, "validation_file")
        return measured(
            Measuring(
                training=self._file(training),
                validation=None if validation is None else self._file(validation),
                reader=_reader(self._garden.installed(spec.base)),
                limits=self._limits,
            )
        )

    def _fitting(self, file_id: str, spec: JobSpec, param: str) -> StoredFile:
        file = self.trainable(file_id, param)
        formats = FORMATS[spec.method]
        if report_of(file).format not in formats:
            raise InvalidRequest(
                f"{file.filename} is {report_of(file).format}; {spec.method} learns from "
                f"{' or '.join(formats)}",
                param,
            )
        return file

    def _file(self, file: StoredFile) -> File:
        return File(path=self._files.path(file.id), filename=file.filename, report=file.report)


def report_of(file: StoredFile) -> DataReport:
    """Of a training file that was checked."""
    if file.report is None:
        raise InvalidRequest(f"file {file.id} is no training file", "training_file")
    return file.report


def _reader(base: InstalledModel) -> Reader:
    tokenizer = base.path / TOKENIZER
    if not tokenizer.is_file():  # an image model
        return Reader(tokenizer=None, chat_template=None, context=base.card.context_length)
    return Reader(
        tokenizer=tokenizer, chat_template=base.chat_template, context=base.card.context_length
    )


def _told(filename: str, problems: Sequence[Problem]) -> str:
    """Lines and reasons, as many as a person reads."""
    told = "; ".join(
        (f"line {one.line}: " if one.line else "") + one.reason[:MAX_PROBLEM_CHARACTERS]
        for one in problems[:MAX_PROBLEMS_TOLD]
    )
    return f"{filename} cannot be trained on: {told}"
