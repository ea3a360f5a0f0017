"""What one encoder can do: its card's tasks, held against what its graph gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bestiary.errors import InvalidRequest, KernelError, UnsupportedParameter
from bestiary.garden.card import ModelCard
from bestiary.garden.tasks import Task, tasks_of
from bestiary.schemas.encoder import Pooling
from deployments.kernels.encoder_names import Output
from deployments.kernels.encoder_session import EncoderSession

# What a graph has to give; one of several does. Explaining needs a graph of its own.
NEEDED: Mapping[Task, tuple[Output, ...]] = {
    Task.EMBED: (Output.MEAN,),
    Task.SIMILARITY: (Output.MEAN,),
    Task.TOKEN_EMBED: (Output.HIDDEN,),
    Task.RERANK: (Output.CLASSES, Output.MEAN),
    Task.FILL_MASK: (Output.WORDS,),
    Task.NEXT_SENTENCE: (Output.NEXT,),
    Task.CLASSIFY: (Output.CLASSES,),
    Task.TOKEN_CLASSIFY: (Output.TOKENS,),
    Task.EXPLAIN: (),
}
POOLED: Mapping[Pooling, Output] = {
    Pooling.MEAN: Output.MEAN,
    Pooling.CLS: Output.CLS,
    Pooling.POOLER: Output.POOLER,
}


@dataclass(frozen=True, slots=True)
class ServedEncoder:
    card_id: str
    tasks: tuple[Task, ...]
    outputs: frozenset[Output]
    pooling: Output  # the model's own
    width: int  # of an embedding
    class_labels: tuple[str, ...]
    token_labels: tuple[str, ...]
    several_labels: bool  # a text may have several classes at once

    @property
    def is_cross_encoder(self) -> bool:
        """Whether it reads query and document together."""
        return Task.RERANK in self.tasks and Output.CLASSES in self.outputs

    def require(self, task: Task) -> None:
        """Raises UnsupportedParameter that names the model's tasks."""
        if task not in self.tasks:
            raise UnsupportedParameter(
                f"{self.card_id} cannot do {task}; it can do: {', '.join(self.tasks)}", "model"
            )

    def pooled(self, asked: Pooling | None) -> Output:
        """Raises InvalidRequest where the model has no such pooling."""
        output = self.pooling if asked is None else POOLED[asked]
        if output not in self.outputs:
            raise InvalidRequest(f"{self.card_id} has no {asked}", "pooling")
        return output


def served_encoder(card: ModelCard, session: EncoderSession) -> ServedEncoder:
    """Raises KernelError where the card names a task that the checkpoint has no head for."""
    tasks = tasks_of(card)
    for task in tasks:
        _require_head(card, task, session)
    return ServedEncoder(
        card_id=card.id,
        tasks=tasks,
        outputs=session.outputs,
        pooling=session.pooling,
        width=session.width,
        class_labels=session.class_labels,
        token_labels=session.token_labels,
        several_labels=session.several_labels,
    )


def _require_head(card: ModelCard, task: Task, session: EncoderSession) -> None:
    if task not in NEEDED:
        raise KernelError(f"the card {card.id} says {task}, which no encoder does")
    if NEEDED[task] and session.outputs.isdisjoint(NEEDED[task]):
        raise KernelError(f"the card {card.id} says {task}, and its checkpoint has no such head")
    if task is Task.RERANK and len(session.class_labels) > 1:
        raise KernelError(
            f"the card {card.id} says {task}, and its classifier has "
            f"{len(session.class_labels)} labels where a reranker has one"
        )
