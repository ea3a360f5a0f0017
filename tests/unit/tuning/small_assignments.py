"""A small base in a garden, and a job on it as a trainer gets it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bestiary.garden import Garden, InstalledModel
from bestiary.schemas.tuning import Hyperparameters, JobSpec, Lora, Method, TrainingPlan
from services.tuning.data.examples import Example
from services.tuning.trainers.tuner import Assignment, Tuner
from training.loop import Plan, State, train

MICRO = 12


def installed(folder: Path, home: Path, **card: object) -> InstalledModel:
    """As the user's own model, its card with these fields."""
    garden = Garden(home)
    garden.add(folder, card_id="small-base")
    model = garden.installed("small-base")
    return InstalledModel(model.card.model_copy(update=card), model.path, model.revision)


def assignment(
    model: InstalledModel,
    method: Method,
    training: Sequence[Example],
    held_out: Sequence[Example],
    *,
    steps: int = 40,
    full: bool = False,
    max_tokens: int = 32,
    rate: float = 3e-3,
) -> Assignment:
    lora = Lora(rank=8, dropout=0.0)
    spec = JobSpec(
        base=model.card.id,
        method=method,
        training_file="file-1",
        hyperparameters=Hyperparameters(full=full, lora=lora),
        seed=1,
    )
    plan = TrainingPlan(
        steps=steps,
        epochs=1,
        batch_size=MICRO,
        micro_batch_size=MICRO,
        learning_rate=rate,
        warmup_steps=3,
        max_tokens=max_tokens,
        evaluate_every=steps,
        checkpoint_every=steps,
        training_examples=len(training),
        held_out_examples=len(held_out),
        training_tokens=100,
        estimated_seconds=1,
    )
    return Assignment(
        spec=spec,
        plan=plan,
        model=model,
        teacher=None,
        training=training,
        held_out=held_out,
        folder=model.path,
        threads=1,
    )


def trained(
    tuner: Tuner, work: Assignment, folder: Path, *, until: int | None = None, resume: bool = False
) -> State:
    plan = Plan(
        steps=work.plan.steps,
        learning_rate=work.plan.learning_rate,
        warmup=work.plan.warmup_steps,
        seed=work.spec.seed,
        measure_every=work.plan.evaluate_every,
        checkpoint_every=work.plan.checkpoint_every,
        bfloat16=False,
    )
    return train(tuner.trainee, plan, folder, resume=resume, until=until)
