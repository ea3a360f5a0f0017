"""A spec and a report -> the plan: every choice made that the spec leaves open. Trains nothing.

The time is a rule of thumb, in floating-point operations for N parameters and T tokens
(arXiv:2001.08361): 2NT for a forward pass, 4NT for its backward pass. With adapters the frozen
weights need no gradients of their own, which saves 2NT of those. DPO reads every example with
the base model too. A teacher's work is not in it: the plan does not know the teacher. Pictures
count as pixels / 32 tokens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from bestiary.errors import InvalidRequest
from bestiary.garden.card import Family, ModelCard
from bestiary.schemas.tuning import (
    FORMATS,
    DataReport,
    Hyperparameters,
    JobSpec,
    Method,
    TrainingPlan,
)

ENOUGH_STEPS = 100  # that small data is repeated for
MANY_STEPS = 1000  # from which data is not repeated any more
MAX_EPOCHS = 50  # chosen by itself
USUAL_EPOCHS = 3
EVALUATIONS = 10  # a run
CHECKPOINTS = (20, 50)  # steps between two, at least and at most
ROW_TOKENS = 4096  # of a micro batch, at most
USUAL_TOKENS = 2048  # of one example, at most, where the spec does not say
LONGEST_ANSWER = 256  # tokens that a teacher writes
CHARACTERS_A_TOKEN = 3  # English has about 4; rather too many tokens than too few
PIXELS_A_TOKEN = 32  # 64x64 in latents: 0.07 s a picture and step, with 4 operations a parameter
USUAL_SIDE = 512  # pixels, of an image model whose card says no size


@dataclass(frozen=True)
class Speed:
    """What one trainer computes.

    The default is what jobs got from one thread of an AMD EPYC with AVX2, operations counted as in
    this module: a language model by LoRA in 12 minutes of processor, a translator in one.
    """

    flops: float = 40e9  # a second and thread
    threads: int = 1
    price_per_cpu_hour: float = 0.0

    def seconds(self, operations: float) -> float:
        return operations / (self.flops * self.threads)

    def cost(self, seconds: float) -> float:
        return seconds / 3600 * self.threads * self.price_per_cpu_hour


@dataclass(frozen=True)
class _Rates:
    """Learning rates of a method: with an adapter, and of all weights."""

    lora: float
    full: float
    of_big: float = 0.4  # factor from `_BIG` on: 5e-4 -> 2e-4, 5e-5 -> 2e-5


_RATES = {
    Method.SUPERVISED: _Rates(5e-4, 5e-5),
    Method.DPO: _Rates(5e-5, 5e-6),
    Method.CONTINUED_PRETRAINING: _Rates(5e-4, 5e-5),
    Method.DISTILLATION: _Rates(5e-4, 5e-5),
    Method.CLASSIFICATION: _Rates(5e-4, 5e-5),
    Method.TOKEN_CLASSIFICATION: _Rates(5e-4, 5e-5),
    Method.EMBEDDING: _Rates(2e-4, 2e-5),
    Method.SEQUENCE_TO_SEQUENCE: _Rates(5e-4, 3e-4),
    Method.TEXT_TO_IMAGE: _Rates(2e-3, 1e-4, of_big=0.05),
}
_ENOUGH = {Method.TEXT_TO_IMAGE: 300}  # a new style shows after so many
_BIG = 500_000_000  # parameters from which rates are lower

_BATCHES = {  # examples a step, of few examples and of a thousand or more
    Family.TEXT: (8, 16),
    Family.ENCODER: (16, 32),
    Family.SEQ2SEQ: (8, 32),
    Family.IMAGE: (8, 8),
}
_MANY_EXAMPLES = 1000


def plan_of(
    spec: JobSpec,
    report: DataReport,
    card: ModelCard,
    *,
    held_out: int,
    speed: Speed = Speed(),
) -> TrainingPlan:
    """`report` is the training file's; `held_out` counts the examples that measure, which come
    out of that file where the spec names no validation file.

    Raises InvalidRequest that names the field as a job's spec has it.
    """
    _check(spec, report, card)
    training = _training_examples(spec, report, held_out)
    wanted = spec.hyperparameters
    batch = _batch_size(wanted, card.family, training)
    steps = _steps(wanted, math.ceil(training / batch), _ENOUGH.get(spec.method, ENOUGH_STEPS))
    max_tokens = _max_tokens(spec, report, card)
    micro = _micro_batch_size(spec, batch, max_tokens)
    _check_workers(spec, batch, micro)
    evaluate_every = wanted.evaluate_every or max(1, steps // EVALUATIONS)
    least, most = CHECKPOINTS
    tokens = _tokens_an_example(spec, report, card, max_tokens)
    evaluations = 2 + steps // evaluate_every  # the base and the tuned model, and on the way
    operations = card.parameters * (
        steps * batch * tokens * _operations(spec) + evaluations * held_out * tokens * 2
    )
    seconds = speed.seconds(operations)
    return TrainingPlan(
        steps=steps,
        epochs=steps * batch / training,
        batch_size=batch,
        micro_batch_size=micro,
        learning_rate=_learning_rate(spec, card.parameters),
        warmup_steps=round(wanted.warmup_ratio * steps),
        max_tokens=max_tokens,
        evaluate_every=min(evaluate_every, steps),
        checkpoint_every=wanted.checkpoint_every or min(most, max(least, steps // EVALUATIONS)),
        training_examples=training,
        held_out_examples=held_out,
        training_tokens=round(training * tokens),
        estimated_seconds=seconds,
        estimated_cost=speed.cost(seconds),
    )


def _check(spec: JobSpec, report: DataReport, card: ModelCard) -> None:
    if spec.method.family is not card.family:
        raise InvalidRequest(
            f"{spec.method} tunes {spec.method.family} models; {card.id} is of the family "
            f"{card.family}",
            "method",
        )
    formats = FORMATS[spec.method]
    if report.format not in formats:
        raise InvalidRequest(
            f"{spec.method} takes files of the format {' or '.join(formats)}; "
            f"{spec.training_file} is {report.format}",
            "training_file",
        )


def _training_examples(spec: JobSpec, report: DataReport, held_out: int) -> int:
    if held_out < 1:
        if spec.validation_file is not None:
            raise InvalidRequest("the validation file has no examples", "validation_file")
        raise InvalidRequest(
            f"a share of {spec.hyperparameters.held_out_share} of {report.examples} examples "
            "holds out none; ask for more or give a validation file",
            "hyperparameters.held_out_share",
        )
    left = report.examples if spec.validation_file is not None else report.examples - held_out
    if left < 1:
        raise InvalidRequest(
            f"holding out {held_out} of {report.examples} examples leaves none to train on",
            "hyperparameters.held_out_share",
        )
    return left


def _batch_size(wanted: Hyperparameters, family: Family, examples: int) -> int:
    """No bigger than the data. What was asked for by itself is taken so too."""
    few, many = _BATCHES[family]
    if wanted.batch_size is not None:
        if wanted.batch_size > examples:
            raise InvalidRequest(
                f"a batch of {wanted.batch_size} is more than the {examples} training examples",
                "hyperparameters.batch_size",
            )
        return wanted.batch_size
    chosen = many if examples >= _MANY_EXAMPLES else few
    if wanted.micro_batch_size is not None:
        chosen = wanted.micro_batch_size * math.ceil(chosen / wanted.micro_batch_size)
    return max(1, min(chosen, examples))


def _steps(wanted: Hyperparameters, an_epoch: int, enough: int) -> int:
    if wanted.steps is not None:
        return wanted.steps
    if wanted.epochs is not None:
        return wanted.epochs * an_epoch
    repeated = math.ceil(enough / an_epoch)
    usual = min(USUAL_EPOCHS, MANY_STEPS // an_epoch)
    return an_epoch * max(1, min(MAX_EPOCHS, max(repeated, usual)))


def _max_tokens(spec: JobSpec, report: DataReport, card: ModelCard) -> int:
    """The longest example's, up to the context and what a row of a laptop can be."""
    context, wanted = card.context_length, spec.hyperparameters
    if wanted.max_tokens is not None:
        if context and wanted.max_tokens > context:
            raise InvalidRequest(
                f"max_tokens {wanted.max_tokens} is over {card.id}'s context of {context} tokens",
                "hyperparameters.max_tokens",
            )
        return wanted.max_tokens
    if card.family is Family.IMAGE:
        return context
    longest = max((one.up_to for one in report.lengths), default=USUAL_TOKENS)
    if report.tokens is None:  # bins of characters
        longest = math.ceil(longest / CHARACTERS_A_TOKEN)
    if _is_answered(spec):
        longest += LONGEST_ANSWER
    return max(8, min(longest, context, USUAL_TOKENS))


def _is_answered(spec: JobSpec) -> bool:
    """Whether the file's examples are prompts, whose answers a teacher writes."""
    return spec.method is Method.DISTILLATION and spec.teaches_by == "answers"


def _micro_batch_size(spec: JobSpec, batch: int, max_tokens: int) -> int:
    """Divides the batch, for all workers to have some. An embedding's batch is never cut: its
    other rows are its negatives."""
    asked = spec.hyperparameters.micro_batch_size
    if asked is not None:
        if asked > batch:
            raise InvalidRequest(
                f"micro_batch_size {asked} is over the batch_size of {batch}",
                "hyperparameters.micro_batch_size",
            )
        if batch % asked:
            raise InvalidRequest(
                f"micro_batch_size {asked} must divide the batch_size of {batch}",
                "hyperparameters.micro_batch_size",
            )
        return asked
    if spec.method is Method.EMBEDDING:
        return batch
    most = max(1, min(ROW_TOKENS // max(1, max_tokens), batch // spec.workers))
    return next(size for size in range(min(batch, most), 0, -1) if batch % size == 0)


def _check_workers(spec: JobSpec, batch: int, micro: int) -> None:
    shared = batch // micro
    if spec.workers <= shared:
        return
    if spec.method is Method.EMBEDDING:
        hint = "an embedding's batch is never cut, so that one worker trains it"
    else:
        hint = "ask for fewer workers, a bigger batch_size or a smaller micro_batch_size"
    raise InvalidRequest(
        f"{spec.workers} workers share the micro batches of a step, of which there are {shared}: "
        f"{hint}",
        "workers",
    )


def _learning_rate(spec: JobSpec, parameters: int) -> float:
    wanted = spec.hyperparameters
    rates = _RATES[spec.method]
    rate = rates.full if wanted.full else rates.lora
    if parameters >= _BIG:
        rate *= rates.of_big
    return (wanted.learning_rate or rate) * (wanted.learning_rate_multiplier or 1.0)


def _tokens_an_example(
    spec: JobSpec, report: DataReport, card: ModelCard, max_tokens: int
) -> float:
    """On average, after the longest were cut. Of a teacher's answer half of its limit."""
    if card.family is Family.IMAGE:
        facts = card.image
        size = USUAL_SIDE**2 if facts is None else facts.width * facts.height
        return size / PIXELS_A_TOKEN
    tokens = report.characters / CHARACTERS_A_TOKEN if report.tokens is None else report.tokens
    answer = LONGEST_ANSWER / 2 if _is_answered(spec) else 0
    return min(tokens / max(1, report.examples) + answer, float(max_tokens))


def _operations(spec: JobSpec) -> int:
    """For each parameter and token of a step, see above."""
    passes = 6 if spec.hyperparameters.full else 4
    return passes + 2 if spec.method is Method.DPO else passes
