"""Method -> what opens its tuner, of the text family."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TypeVar

from bestiary.errors import InvalidRequest
from bestiary.garden import InstalledModel
from bestiary.schemas.text import ChatMessage
from bestiary.schemas.tuning import Method
from services.tuning.data.examples import Completion, Conversation, Example, PlainText
from services.tuning.planning import LONGEST_ANSWER
from services.tuning.trainers.text.chat import TokenWriter
from services.tuning.trainers.text.lessons import Lessons
from services.tuning.trainers.text.losses import cross_entropy
from services.tuning.trainers.text.pair_learner import PairLearner
from services.tuning.trainers.text.sequences import Fitted, pairs_of, sequences_of
from services.tuning.trainers.text.teacher_answers import Prompt, TeacherAnswers
from services.tuning.trainers.text.teacher_logits import TeachersLogits
from services.tuning.trainers.text.token_learner import Objective, TokenLearner
from services.tuning.trainers.text.tuned_model import opened, tuned_model
from services.tuning.trainers.text.tuner import TextTuner
from services.tuning.trainers.tuner import Assignment, OpenTuner

T = TypeVar("T")
_logger = logging.getLogger(__name__)


def open_supervised(work: Assignment) -> TextTuner:
    """Learns answers of conversations, or completions of raw texts."""
    writer = TokenWriter(work.model)
    return _token_tuner(work, writer, work.training, work.held_out, answers=True)


def open_pretraining(work: Assignment) -> TextTuner:
    """Learns every token; long texts in pieces, each an example of its own."""
    writer = TokenWriter(work.model)
    return _token_tuner(work, writer, work.training, work.held_out, answers=False)


def open_dpo(work: Assignment) -> TextTuner:
    """Raises InvalidRequest for all weights: the base beside them would double the memory."""
    if work.spec.hyperparameters.full:
        raise InvalidRequest(
            "DPO compares the model with its base, which an adapter keeps: leave out `full`",
            "hyperparameters.full",
        )
    writer = TokenWriter(work.model)
    limit = work.plan.max_tokens
    training = _fitting(pairs_of(work.training, writer, limit), "training_file")
    held_out = _fitting(pairs_of(work.held_out, writer, limit), "validation_file")
    tuned = tuned_model(work)
    learner = PairLearner(tuned, Lessons.of(work, training, held_out))
    return TextTuner(work, tuned, writer, learner)


def open_distillation(work: Assignment) -> TextTuner:
    """Learns what the teacher answers, or how likely it finds each token of given answers."""
    if work.teacher is None:
        raise InvalidRequest("a distillation needs a teacher", "teacher")
    writer = TokenWriter(work.model)
    if work.spec.teaches_by == "logits":
        objective = _teachers_logits(work, work.teacher, writer)
        answers = not isinstance(next(iter(work.held_out), None), PlainText)
        return _token_tuner(
            work, writer, work.training, work.held_out, answers=answers, objective=objective
        )
    training = _taught(work, work.teacher, work.training)
    held_out = _taught(work, work.teacher, work.held_out)
    return _token_tuner(work, writer, training, held_out, answers=True)


TUNERS: Mapping[Method, OpenTuner] = {
    Method.SUPERVISED: open_supervised,
    Method.DPO: open_dpo,
    Method.CONTINUED_PRETRAINING: open_pretraining,
    Method.DISTILLATION: open_distillation,
}


def _token_tuner(
    work: Assignment,
    writer: TokenWriter,
    training: Sequence[Example],
    held_out: Sequence[Example],
    *,
    answers: bool,
    objective: Objective = cross_entropy,
) -> TextTuner:
    """`answers`: its own ones are scored too, when it is evaluated."""
    limit = work.plan.max_tokens
    learned = _fitting(sequences_of(training, writer, limit), "training_file")
    measured = _fitting(sequences_of(held_out, writer, limit), "validation_file")
    tuned = tuned_model(work)
    learner = TokenLearner(tuned, Lessons.of(work, learned, measured), objective)
    return TextTuner(work, tuned, writer, learner, measured if answers else ())


def _fitting(fitted: Fitted[T], param: str) -> tuple[T, ...]:
    if fitted.dropped:
        _logger.warning("%s: %d answers are over max_tokens and left out", param, fitted.dropped)
    return fitted.required(param)


def _teachers_logits(
    work: Assignment, teacher: InstalledModel, writer: TokenWriter
) -> TeachersLogits:
    if TokenWriter(teacher).vocabulary() != writer.vocabulary():
        raise InvalidRequest(
            f"{teacher.card.id} and {work.model.card.id} have different vocabularies, so logits "
            "cannot be compared: distil by answers",
            "teaches_by",
        )
    wanted = work.spec.hyperparameters
    model = opened(teacher).to(work.device)
    return TeachersLogits(model, wanted.temperature, wanted.logits_share)


def _taught(
    work: Assignment, teacher: InstalledModel, examples: Sequence[Example]
) -> list[Example]:
    """The examples' prompts with the teacher's answers; unfinished ones are left out.

    Raises InvalidRequest where the teacher finished none.
    """
    most = min(LONGEST_ANSWER, work.plan.max_tokens - 1)
    prompts = [_prompt(example) for example in examples]
    answers = TeacherAnswers(teacher, work.folder, most, work.device, work.tell).to(prompts)
    found = [
        _answered(prompt, answer.text)
        for prompt, answer in zip(prompts, answers, strict=True)
        if answer.ended
    ]
    if prompts and not found:
        raise InvalidRequest(
            f"{teacher.card.id} came to the end of no answer within {most} tokens: raise "
            "max_tokens, or give another teacher",
            "teacher",
        )
    return found


def _prompt(example: Example) -> Prompt:
    """A line of plain text is a user's message."""
    if isinstance(example, Conversation):
        last = example.messages[-1]
        return example.messages[:-1] if last.role == "assistant" else example.messages
    if isinstance(example, Completion):
        return example.prompt
    if isinstance(example, PlainText):
        return (ChatMessage(role="user", content=example.text),)
    raise InvalidRequest(
        f"a distillation takes no {type(example).__name__}; give conversations, completions or "
        "plain text",
        "training_file",
    )


def _answered(prompt: Prompt, answer: str) -> Example:
    if isinstance(prompt, str):
        return Completion(prompt, answer)
    messages = (*prompt, ChatMessage(role="assistant", content=answer))
    return Conversation(messages, (len(prompt),))
