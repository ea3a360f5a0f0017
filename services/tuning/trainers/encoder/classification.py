"""A label for a text, or for a pair of texts: the loss, accuracy, F1 and confusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from transformers import BertForSequenceClassification

from services.tuning.data.examples import LabelledText
from services.tuning.trainers.encoder.bert import (
    HEAD,
    classifier_of,
    labels_of,
    learning,
    limit_of,
    save_model,
)
from services.tuning.trainers.encoder.encoded import EncodedText, TextReader, inputs_of
from services.tuning.trainers.micro_batches import QUICK, chunks, micro_batches, spread
from services.tuning.trainers.tuner import Assignment
from services.tuning.trainers.whole_model import WholeModelTuner, require_examples
from training.confusion import Confusion

MAX_SHOWN_LABELS = 8  # a confusion of more is no longer read


@dataclass(frozen=True)
class _Labelled:
    text: EncodedText
    label: int


class ClassLearner:
    """See `services.tuning.trainers.whole_model.Learner`."""

    model: nn.Module

    def __init__(self, work: Assignment) -> None:
        require_examples(work)
        training = cast("Sequence[LabelledText]", work.training)
        held_out = cast("Sequence[LabelledText]", work.held_out)
        names = [one.label for one in (*training, *held_out)]
        model = classifier_of(BertForSequenceClassification, work.model, names, work.spec.seed)
        self.labels = labels_of(model)
        reader = TextReader(work.model.path, limit_of(work))
        self._training = _labelled(training, reader, self.labels)
        self._held_out = _labelled(held_out, reader, self.labels)
        self._positive = _rarer(self._training, len(self.labels))
        lengths = [len(one.text.ids) for one in self._training]
        self._order = micro_batches(lengths, work.plan, work.spec.seed)
        self._device = work.device
        chosen = work.spec.hyperparameters
        self.model = learning(model, chosen, heads=(HEAD,)).to(work.device)

    def loss(self, step: int) -> Tensor:
        return self._loss([self._training[place] for place in self._order.at(step)])

    def tokens_in(self, batch: int) -> int:
        return sum(len(self._training[place].text.ids) for place in self._order.at(batch))

    def measure(self) -> Mapping[str, float]:
        found = self._figures(spread(self._held_out, QUICK))
        return {name: found[name] for name in ("loss", "accuracy", "macro_f1")}

    def evaluate(self) -> Mapping[str, float]:
        return self._figures(self._held_out)

    def _loss(self, examples: Sequence[_Labelled]) -> Tensor:
        labels = torch.tensor([one.label for one in examples], device=self._device)
        return nn.functional.cross_entropy(self._logits(examples).float(), labels)

    def _logits(self, examples: Sequence[_Labelled]) -> Tensor:
        logits: Tensor = self.model(
            **inputs_of([one.text for one in examples], self._device)
        ).logits
        return logits

    def _figures(self, examples: Sequence[_Labelled]) -> dict[str, float]:
        lost, guesses = 0.0, []
        for batch in chunks(examples):
            logits = self._logits(batch).float()
            labels = torch.tensor([one.label for one in batch], device=self._device)
            lost += float(nn.functional.cross_entropy(logits, labels, reduction="sum"))
            guesses += logits.argmax(-1).tolist()
        true = [one.label for one in examples]
        confusion = Confusion.of(true, guesses, len(self.labels))
        figures = {
            "loss": lost / len(examples),
            "accuracy": confusion.accuracy,
            "macro_f1": confusion.macro_f1,
        }
        if len(self.labels) == 2:
            figures["f1"] = confusion.f1(self._positive)
            figures["precision"] = confusion.precision(self._positive)
            figures["recall"] = confusion.recall(self._positive)
        return figures | self._shown(confusion)

    def _shown(self, confusion: Confusion) -> dict[str, float]:
        """The confusion, examples of one label that were given another."""
        if len(self.labels) > MAX_SHOWN_LABELS:
            return {}
        return {
            f"confusion/{name}/{other}": float(confusion.counts[true][guess])
            for true, name in enumerate(self.labels)
            for guess, other in enumerate(self.labels)
        }


def open_classification(work: Assignment) -> WholeModelTuner:
    def write(model: nn.Module, folder: Path) -> None:
        save_model(model, work.model, folder)

    return WholeModelTuner(ClassLearner(work), write)


def _labelled(
    examples: Sequence[LabelledText], reader: TextReader, labels: Sequence[str]
) -> list[_Labelled]:
    places = {label: place for place, label in enumerate(labels)}
    texts = reader.read(
        [one.text if one.text_pair is None else (one.text, one.text_pair) for one in examples]
    )
    return [_Labelled(text, places[one.label]) for text, one in zip(texts, examples, strict=True)]


def _rarer(examples: Sequence[_Labelled], classes: int) -> int:
    """The label that is looked for: of two the rarer one, and of equals the last."""
    counts = [sum(one.label == label for one in examples) for label in range(classes)]
    return min(range(classes), key=lambda label: (counts[label], -label))
