"""What a model can be asked to do, and what one can do whose card does not say.

Knows architectures by name only; whether a build really has a head is its replica's to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol


class Task(StrEnum):
    CHAT = "chat"
    COMPLETE = "complete"
    EMBED = "embed"
    RERANK = "rerank"
    SIMILARITY = "similarity"
    TOKEN_EMBED = "token-embed"  # noqa: S105 - a name, no secret
    FILL_MASK = "fill-mask"
    NEXT_SENTENCE = "next-sentence"
    CLASSIFY = "classify"
    TOKEN_CLASSIFY = "token-classify"  # noqa: S105 - a name, no secret
    EXPLAIN = "explain"
    SUMMARIZE = "summarize"
    TRANSLATE = "translate"


EMBEDDING_TASKS = (Task.EMBED, Task.TOKEN_EMBED, Task.SIMILARITY, Task.RERANK, Task.EXPLAIN)

# By transformers class name. Decoders are not listed: see `tasks_of`.
TASKS_OF_ARCHITECTURE: Mapping[str, tuple[Task, ...]] = {
    "BertModel": EMBEDDING_TASKS,
    "BertForPreTraining": (*EMBEDDING_TASKS, Task.FILL_MASK, Task.NEXT_SENTENCE),
    "BertForMaskedLM": (*EMBEDDING_TASKS, Task.FILL_MASK),
    "BertForNextSentencePrediction": (*EMBEDDING_TASKS, Task.NEXT_SENTENCE),
    "BertForSequenceClassification": (Task.CLASSIFY, Task.EXPLAIN),
    "BertForTokenClassification": (Task.TOKEN_CLASSIFY, Task.EXPLAIN),
    "T5ForConditionalGeneration": (Task.SUMMARIZE,),
    "BartForConditionalGeneration": (Task.SUMMARIZE,),
    "MarianMTModel": (Task.TRANSLATE,),
    "RecurrentSeq2Seq": (Task.TRANSLATE,),
}


class _Described(Protocol):
    """What of a model card is looked at here."""

    @property
    def family(self) -> str: ...
    @property
    def architecture(self) -> str: ...
    @property
    def instruct(self) -> bool: ...
    @property
    def tasks(self) -> tuple[Task, ...]: ...


def tasks_of(card: _Described) -> tuple[Task, ...]:
    """The card's own, or else what its architecture can do; none where nobody knows."""
    if card.tasks:
        return card.tasks
    if card.family == "text":
        return (Task.CHAT, Task.COMPLETE) if card.instruct else (Task.COMPLETE,)
    return TASKS_OF_ARCHITECTURE.get(card.architecture, ())
