"""A training file, read through once: a report on it, or what is to be mended and where."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from bestiary.schemas.tuning import DataFormat, DataReport, Problem
from services.tuning.data.examples import LabelledText, TaggedTokens
from services.tuning.data.fingerprints import fingerprint
from services.tuning.data.lengths import Histogram
from services.tuning.data.limits import DataLimits
from services.tuning.data.reading import Read, read_file
from services.tuning.data.rows import about_the_file
from services.tuning.data.texts import texts_of

MAX_PROBLEMS = 20
MIN_EXAMPLES = 10  # as OpenAI
MAX_LABELS = 1000
UNBALANCED = 20  # times as many examples of one label as of another
MANY_DUPLICATES = 0.1  # of the examples
USED_KEYS = {
    DataFormat.CHAT: {"messages", "tools", "functions", "parallel_tool_calls"},
    DataFormat.COMPLETION: {"prompt", "completion"},
    DataFormat.PREFERENCE: {
        *("input", "preferred_output", "non_preferred_output"),
        *("prompt", "chosen", "rejected"),
    },
    DataFormat.TEXT: {"text"},
    DataFormat.LABELLED_TEXT: {"text", "label", "text_pair"},
    DataFormat.TAGGED_TOKENS: {"tokens", "tags"},
    DataFormat.TEXT_PAIRS: {"anchor", "positive", "negative"},
    DataFormat.TRANSLATION: {"source", "target", "source_language", "target_language"},
    DataFormat.CAPTIONED_IMAGES: {"file_name", "caption", "data"},
}


@dataclass(frozen=True)
class CheckedFile:
    """`report` is there where there are no problems."""

    report: DataReport | None
    problems: tuple[Problem, ...]  # the first MAX_PROBLEMS, in the order of the file


def check_file(
    path: Path,
    filename: str,
    *,
    limits: DataLimits = DataLimits(),  # noqa: B008  frozen
    format: DataFormat | None = None,
) -> CheckedFile:
    """Reads to the end, or to one problem too many. Raises nothing for bad data."""
    tally = _Tally()
    problems: list[Problem] = []
    for one in read_file(path, filename, format, limits):
        if isinstance(one, Problem):
            problems.append(one)
        elif tally.examples == limits.max_examples:
            problems.append(about_the_file(f"there are over {limits.max_examples} examples"))
            break
        else:
            tally.add(one)
        if len(problems) == MAX_PROBLEMS:
            break
    problems = problems or tally.problems()
    report = None if problems else tally.report()
    return CheckedFile(report, tuple(problems))


class _Tally:
    """What is known of the examples so far; the examples themselves are let go."""

    def __init__(self) -> None:
        self.examples = 0
        self._format: DataFormat | None = None
        self._lengths = Histogram()
        self._seen: set[bytes] = set()
        self._labels: Counter[str] = Counter()
        self._unused: set[str] = set()

    def add(self, read: Read) -> None:
        self.examples += 1
        self._format = read.format
        self._lengths.add(sum(len(text) for text in texts_of(read.example)))
        self._seen.add(fingerprint(read.example))
        self._unused |= read.keys - USED_KEYS[read.format]
        if isinstance(read.example, LabelledText):
            self._labels[read.example.label] += 1
        elif isinstance(read.example, TaggedTokens):
            self._labels.update(set(read.example.tags))

    def problems(self) -> list[Problem]:
        """Of the file as a whole."""
        if self.examples < MIN_EXAMPLES:
            return [
                about_the_file(
                    f"the file has {self.examples} examples; at least {MIN_EXAMPLES} are needed"
                )
            ]
        if len(self._labels) > MAX_LABELS:
            return [about_the_file(f"there are {len(self._labels)} labels: is `label` a text?")]
        if self._format is DataFormat.LABELLED_TEXT and len(self._labels) < 2:
            return [about_the_file("all examples have one label: there is nothing to tell apart")]
        return []

    def report(self) -> DataReport:
        assert self._format is not None
        return DataReport(
            format=self._format,
            examples=self.examples,
            characters=self._lengths.total,
            duplicates=self._duplicates,
            lengths=self._lengths.bins,
            labels=dict(self._labels.most_common()),
            warnings=tuple(self._warnings()),
        )

    @property
    def _duplicates(self) -> int:
        return self.examples - len(self._seen)

    def _warnings(self) -> list[str]:
        told = []
        if self._duplicates > MANY_DUPLICATES * self.examples:
            told.append(f"{self._duplicates} of {self.examples} examples are exact duplicates")
        if self._labels and self._format is DataFormat.LABELLED_TEXT:
            (most, often), (least, seldom) = self._labels.most_common()[0], self._rarest
            if often >= UNBALANCED * seldom:
                told.append(f"label {most!r} has {often} examples and {least!r} only {seldom}")
        if self._unused:
            named = ", ".join(sorted(self._unused)[:10])
            told.append(f"not used: {named[:200]}")
        return told

    @property
    def _rarest(self) -> tuple[str, int]:
        return self._labels.most_common()[-1]
