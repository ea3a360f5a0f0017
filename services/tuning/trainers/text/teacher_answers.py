"""What the teacher of a distillation wrote, kept in the job's folder: each answer once.

A kill in the middle leaves the answers that are finished, and the next attempt writes the
rest; processes that train together wait for the one that writes. Knows no student.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from filelock import FileLock

from bestiary.garden import InstalledModel
from bestiary.schemas.base import Frozen
from bestiary.schemas.text import ChatMessage
from services.tuning.trainers.micro_batches import chunks
from services.tuning.trainers.text.answering import AT_ONCE, greedy_answers
from services.tuning.trainers.text.chat import TokenWriter
from services.tuning.trainers.text.tuned_model import opened

ANSWERS_FILE = "teacher_answers.jsonl"

Prompt = tuple[ChatMessage, ...] | str  # a conversation so far, or a raw text to go on with


class TeacherAnswer(Frozen):
    """A line of the file. `ended`: the teacher came to an end within the limit."""

    key: str
    text: str
    ended: bool


class TeacherAnswers:
    """`most`: tokens of an answer. `tell` hears how far it is, and ends it by raising."""

    def __init__(
        self,
        teacher: InstalledModel,
        folder: Path,
        most: int,
        device: str,
        tell: Callable[[str], None],
    ) -> None:
        self._teacher = teacher
        self._writer = TokenWriter(teacher)
        self._file = folder / ANSWERS_FILE
        self._most = most
        self._device = device
        self._tell = tell

    def to(self, prompts: Sequence[Prompt]) -> list[TeacherAnswer]:
        """Greedy, in the order of the prompts; only those that are not in the file are written."""
        asked = [self._ids(prompt) for prompt in prompts]
        keys = [self._key(ids) for ids in asked]
        with FileLock(f"{self._file}.lock"):
            known = {answer.key: answer for answer in self._read()}
            missing = {key: ids for key, ids in zip(keys, asked, strict=True) if key not in known}
            for answer in self._write(missing):
                known[answer.key] = answer
        return [known[key] for key in keys]

    def _ids(self, prompt: Prompt) -> list[int]:
        if isinstance(prompt, str):
            return self._writer.encode(prompt, as_prompt=True)
        return self._writer.prompt(prompt)

    def _key(self, ids: Sequence[int]) -> str:
        """Another teacher, limit or prompt has another answer."""
        made_of = f"{self._teacher.revision} {self._most} {list(ids)}"
        return hashlib.sha256(made_of.encode()).hexdigest()

    def _read(self) -> list[TeacherAnswer]:
        """Whole lines; the rest of one that was being written at a kill is cut off."""
        if not self._file.exists():
            return []
        content = self._file.read_bytes()
        whole = content.rfind(b"\n") + 1
        os.truncate(self._file, whole)
        return [TeacherAnswer.model_validate_json(line) for line in content[:whole].splitlines()]

    def _write(self, missing: dict[str, list[int]]) -> Iterator[TeacherAnswer]:
        if not missing:
            return
        model = opened(self._teacher).to(self._device)
        written = 0
        with self._file.open("ab") as file:
            # Short prompts with short ones: a batch is padded to its longest.
            for part in chunks(sorted(missing.items(), key=lambda one: len(one[1])), AT_ONCE):
                prompts = [ids for _, ids in part]
                answers = greedy_answers(model, prompts, self._writer.end_ids, self._most)
                for (key, _), answer in zip(part, answers, strict=True):
                    text = self._writer.decode(answer.ids)
                    line = TeacherAnswer(key=key, text=text, ended=answer.ended)
                    file.write(line.model_dump_json().encode() + b"\n")
                    yield line
                file.flush()
                os.fsync(file.fileno())
                written += len(part)
                self._tell(f"{self._teacher.card.id} wrote {written} of {len(missing)} answers")
