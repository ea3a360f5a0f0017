"""What an encoder-decoder does where a request does not say: its own files, read once.

`config.json` first, then its `task_specific_params` and `generation_config.json` over it, as
transformers has them. Knows JSON, no request.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bestiary.errors import KernelError
from bestiary.schemas.seq2seq import MAX_BEAMS

EarlyStopping = bool | Literal["never"]


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    start: int  # what a decoder begins with
    ends: tuple[int, ...]
    first: int | None = None  # what the first generated token is, whatever the logits say
    last: int | None = None  # what the last possible token is
    never: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class TaskDefaults:
    """Numbers of tokens count generated ones, the end token included."""

    prefix: str = ""
    max_tokens: int | None = None
    min_tokens: int = 0
    num_beams: int = 1
    length_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    early_stopping: EarlyStopping = False


@dataclass(frozen=True, slots=True)
class ModelDefaults:
    special: SpecialTokens
    general: TaskDefaults
    tasks: Mapping[str, TaskDefaults]  # "summarization", "translation_en_to_fr"

    def of(self, task: str) -> TaskDefaults:
        return self.tasks.get(task, self.general)


def summarization() -> str:
    return "summarization"


def translation(source: str, target: str) -> str:
    return f"translation_{source}_to_{target}"


def read_defaults(folder: Path) -> ModelDefaults:
    """Raises KernelError where the files are broken or name no end token."""
    config = _json(folder / "config.json")
    path = folder / "generation_config.json"
    written = _json(path) if path.is_file() else {}
    general = config | {key: value for key, value in written.items() if value is not None}
    specific = config.get("task_specific_params")
    tasks = specific if isinstance(specific, dict) else {}
    return ModelDefaults(
        special=_special(general, folder),
        general=_task(general),
        tasks={
            str(name): _task(general | values)
            for name, values in tasks.items()
            if isinstance(values, dict)
        },
    )


def _special(values: Mapping[str, object], folder: Path) -> SpecialTokens:
    ends = values.get("eos_token_id")
    listed = ends if isinstance(ends, list) else [ends]
    whole = tuple(one for one in listed if isinstance(one, int))
    if not whole or len(whole) < len(listed):
        raise KernelError(f"{folder} names no eos_token_id")
    start = values.get("decoder_start_token_id", values.get("bos_token_id"))
    if not isinstance(start, int):
        raise KernelError(f"{folder} names neither decoder_start_token_id nor bos_token_id")
    return SpecialTokens(
        start=start,
        ends=whole,
        first=_token(values.get("forced_bos_token_id")),
        last=_token(values.get("forced_eos_token_id")),
        never=_never(values.get("bad_words_ids"), folder),
    )


def _token(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _never(value: object, folder: Path) -> tuple[int, ...]:
    """Marian lists its padding there. Raises KernelError for words of several tokens."""
    if not isinstance(value, list):
        return ()
    if not all(isinstance(word, list) and len(word) == 1 for word in value):
        raise KernelError(f"{folder}: bad_words_ids of several tokens are not supported")
    return tuple(int(word[0]) for word in value)


def _task(values: Mapping[str, object]) -> TaskDefaults:
    # Lengths there count the decoder's start token, which is not generated.
    longest = _number(values, "max_length", 0)
    shortest = _number(values, "min_length", 0)
    early = values.get("early_stopping")
    return TaskDefaults(
        prefix=str(values.get("prefix") or ""),
        max_tokens=_number(values, "max_new_tokens", 0) or (longest - 1 if longest > 1 else None),
        min_tokens=_number(values, "min_new_tokens", 0) or max(0, shortest - 1),
        num_beams=min(MAX_BEAMS, max(1, _number(values, "num_beams", 1))),
        length_penalty=_real(values, "length_penalty", 1.0),
        no_repeat_ngram_size=_number(values, "no_repeat_ngram_size", 0),
        early_stopping="never" if early == "never" else early is True,
    )


def _number(values: Mapping[str, object], key: str, default: int) -> int:
    value = values.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def _real(values: Mapping[str, object], key: str, default: float) -> float:
    value = values.get(key)
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if known else default  # type: ignore[arg-type]  # known says so


def _json(path: Path) -> dict[str, object]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise KernelError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise KernelError(f"{path} is not an object")
    return content
