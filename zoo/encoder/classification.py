"""A class for every text: the loss, and accuracy, F1 and confusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import BertForSequenceClassification

from training.batch_order import BatchOrder
from training.confusion import Confusion
from training.padding import attention_of, padded
from zoo.encoder.low_rank import add_low_rank, freeze, learn
from zoo.encoder.minilm import base_tokenizer, label_config, with_head

BATCH_TOKENS = 2048
MAX_TOKENS = 128  # the beginning of a text
RANK = 4
QUICK_TEXTS = 128


@dataclass(frozen=True)
class Labelled:
    text: str
    label: int


@dataclass(frozen=True)
class ClassFigures:
    """`confusion[true][guessed]`; precision, recall and F1 of the last class."""

    accuracy: float
    precision: float
    recall: float
    f1: float
    confusion: tuple[tuple[int, ...], ...]


class ClassTrainee:
    """See `training.loop.Trainee`."""

    model: BertForSequenceClassification

    def __init__(
        self,
        training: Sequence[Labelled],
        held_out: Sequence[Labelled],
        labels: Sequence[str],
        seed: int,
    ) -> None:
        self.model = trainable_model(labels, seed)
        self.tokenizer = base_tokenizer()
        self.labels = tuple(labels)
        self.held_out = encode(self.tokenizer, held_out)
        self.held_out_labels = [one.label for one in held_out]
        self._rows = encode(self.tokenizer, training)
        self._labels = [one.label for one in training]
        self._order = BatchOrder([len(row) for row in self._rows], BATCH_TOKENS, seed)

    def loss(self, step: int) -> Tensor:
        places = self._order.at(step)
        logits = self._logits([self._rows[place] for place in places])
        return nn.functional.cross_entropy(
            logits.float(), torch.tensor([self._labels[place] for place in places])
        )

    def measure(self) -> Mapping[str, float]:
        found = self.figures(every=max(1, len(self.held_out) // QUICK_TEXTS))
        return {"accuracy": found.accuracy, "F1": found.f1}

    def figures(self, every: int = 1) -> ClassFigures:
        """In float32, over every so many-th held-out text."""
        self.model.eval()
        guesses: list[int] = []
        rows = self.held_out[::every]
        for start in range(0, len(rows), 32):
            with torch.no_grad():
                guesses += self._logits(rows[start : start + 32]).argmax(-1).tolist()
        return figures_of(self.held_out_labels[::every], guesses, len(self.labels))

    def _logits(self, rows: Sequence[Sequence[int]]) -> Tensor:
        logits: Tensor = self.model(
            input_ids=padded(rows), attention_mask=attention_of(rows)
        ).logits
        return logits


def figures_of(labels: Sequence[int], guesses: Sequence[int], classes: int) -> ClassFigures:
    found = Confusion.of(labels, guesses, classes)
    last = classes - 1
    return ClassFigures(
        accuracy=found.accuracy,
        precision=found.precision(last),
        recall=found.recall(last),
        f1=found.f1(last),
        confusion=found.counts,
    )


def trainable_model(labels: Sequence[str], seed: int) -> BertForSequenceClassification:
    """A new head; low-rank changes in the pooler and the upper half of the body."""
    model = with_head(BertForSequenceClassification, seed, **label_config(labels))
    freeze(model)
    add_low_rank(model, r"bert\.encoder\.layer\.[345]\..*(query|key|value|dense)", RANK)
    add_low_rank(model, r"bert\.pooler\.dense", RANK)
    learn(model, r".*lora_[AB]")
    learn(model, r"classifier\..*")
    return model


def encode(tokenizer: Tokenizer, texts: Sequence[Labelled]) -> list[tuple[int, ...]]:
    tokenizer.enable_truncation(MAX_TOKENS)
    found = tokenizer.encode_batch([one.text for one in texts])
    tokenizer.no_truncation()
    return [tuple(one.ids) for one in found]
