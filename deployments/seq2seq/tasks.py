"""Whether a model does what a request asks, and what its files call that task."""

from __future__ import annotations

from collections.abc import Sequence

from bestiary.errors import InvalidRequest
from bestiary.garden.card import ModelCard
from bestiary.garden.tasks import Task, tasks_of
from bestiary.schemas.seq2seq import Seq2SeqRequest
from deployments.seq2seq.model_defaults import summarization, translation


def task_name(request: Seq2SeqRequest, card: ModelCard) -> str:
    """The key into `ModelDefaults.tasks`. Raises InvalidRequest, naming what the model can do."""
    known = tasks_of(card) or _guessed(card)
    if request.task not in known:
        can = ", ".join(known) or "nothing of this kind"
        raise InvalidRequest(f"{card.id} does not {request.task}; it can: {can}", "task")
    if request.task == "summarize":
        return summarization()
    source, target = _pair(request, card)
    return translation(source, target)


def _guessed(card: ModelCard) -> tuple[Task, ...]:
    return (Task.TRANSLATE,) if card.languages else (Task.SUMMARIZE,)


def _pair(request: Seq2SeqRequest, card: ModelCard) -> tuple[str, str]:
    source, target = request.source_language, request.target_language
    pairs = [_split(pair) for pair in card.languages]
    fit = [(a, b) for a, b in pairs if source in (None, a) and target in (None, b)]
    if len(fit) == 1:
        return fit[0]
    known = ", ".join(card.languages) or "none"
    if not fit:
        asked = f"from {source or 'any'} to {target or 'any'}"
        raise InvalidRequest(
            f"{card.id} does not translate {asked}; it has: {known}",
            "source_language" if _unknown(source, [a for a, _ in pairs]) else "target_language",
        )
    missing = "target_language" if target is None else "source_language"
    raise InvalidRequest(f"give the {missing}; {card.id} translates: {known}", missing)


def _unknown(language: str | None, known: Sequence[str]) -> bool:
    return language is not None and language not in known


def _split(pair: str) -> tuple[str, str]:
    source, target = pair.split("-")
    return source, target
