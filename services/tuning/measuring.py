"""Training files -> reports on them: a check of one alone, or of a job's files with a base model's
tokens. Pure reading; it may be long, see `apart.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bestiary.schemas.base import Frozen
from bestiary.schemas.tuning import DataReport, Problem
from services.tuning.data.chat_text import chat_text
from services.tuning.data.checking import check_file
from services.tuning.data.counting import count_tokens, with_tokens
from services.tuning.data.examples import Example
from services.tuning.data.fingerprints import overlap
from services.tuning.data.limits import DataLimits
from services.tuning.data.reading import read_examples


class File(Frozen):
    """`report` is what its check found; None: it is not checked yet."""

    path: Path
    filename: str
    report: DataReport | None = None


class Reader(Frozen):
    """What reads examples as the base model does. `tokenizer` None: it reads no text."""

    tokenizer: Path | None
    chat_template: str | None
    context: int  # tokens


class Checking(Frozen):
    file: File
    limits: DataLimits


class Checked(Frozen):
    report: DataReport | None  # None: there are problems
    problems: tuple[Problem, ...]


class Measuring(Frozen):
    training: File
    validation: File | None
    reader: Reader
    limits: DataLimits


class Measured(Frozen):
    training: DataReport
    validation: DataReport | None


def check(task: Checking) -> Checked:
    found = check_file(task.file.path, task.file.filename, limits=task.limits)
    return Checked(report=found.report, problems=found.problems)


def measure(task: Measuring) -> Measured:
    """Raises BadTrainingData, CardInvalid."""
    training = _counted(task.training, task)
    if task.validation is None:
        return Measured(training=training, validation=None)
    validation = _counted(task.validation, task)
    shared = overlap(_examples(task.training, task), _examples(task.validation, task))
    return Measured(training=training, validation=_with_overlap(validation, shared))


def _counted(file: File, task: Measuring) -> DataReport:
    reader = task.reader
    report = _report(file)
    if reader.tokenizer is None:
        return report
    counts = count_tokens(
        _examples(file, task),
        reader.tokenizer,
        chat_text(reader.chat_template),
        context=reader.context,
    )
    return with_tokens(report, counts, reader.context)


def _with_overlap(report: DataReport, shared: int) -> DataReport:
    warnings = report.warnings
    if shared:
        warnings += (
            f"{shared} of {report.examples} examples of the validation file are in the training "
            "file too: what is measured on them tells nothing",
        )
    return report.model_copy(update={"overlap": shared, "warnings": warnings})


def _examples(file: File, task: Measuring) -> Iterator[Example]:
    return read_examples(file.path, file.filename, _report(file).format, limits=task.limits)


def _report(file: File) -> DataReport:
    if file.report is None:
        raise ValueError(f"{file.filename} was not checked")
    return file.report
