"""A tag for every word: the loss, token accuracy and F1 of whole spans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from torch import Tensor, nn
from transformers import BertForTokenClassification

from services.tuning.data.examples import TaggedTokens
from services.tuning.trainers.encoder.bert import (
    HEAD,
    classifier_of,
    labels_of,
    learning,
    limit_of,
    save_model,
)
from services.tuning.trainers.encoder.encoded import (
    EncodedText,
    TextReader,
    encoded,
    inputs_of,
)
from services.tuning.trainers.encoder.tags import TaggedPieces, entities, tagged_pieces, text_of
from services.tuning.trainers.micro_batches import QUICK, chunks, micro_batches, spread
from services.tuning.trainers.tuner import Assignment
from services.tuning.trainers.whole_model import WholeModelTuner, require_examples
from training.padding import IGNORED, padded
from training.seq2seq_batches import cross_entropy


@dataclass(frozen=True)
class _Tagged:
    text: EncodedText
    tags: TaggedPieces


class TagLearner:
    """See `services.tuning.trainers.whole_model.Learner`."""

    model: nn.Module

    def __init__(self, work: Assignment) -> None:
        require_examples(work)
        training = cast("Sequence[TaggedTokens]", work.training)
        held_out = cast("Sequence[TaggedTokens]", work.held_out)
        names = [tag for one in (*training, *held_out) for tag in one.tags]
        model = classifier_of(BertForTokenClassification, work.model, names, work.spec.seed)
        self.labels = labels_of(model)
        reader = TextReader(work.model.path, limit_of(work))
        self._training = _tagged(training, reader, self.labels)
        self._held_out = _tagged(held_out, reader, self.labels)
        lengths = [len(one.text.ids) for one in self._training]
        self._order = micro_batches(lengths, work.plan, work.spec.seed)
        self._device = work.device
        chosen = work.spec.hyperparameters
        self.model = learning(model, chosen, heads=(HEAD,)).to(work.device)

    def loss(self, step: int) -> Tensor:
        examples = [self._training[place] for place in self._order.at(step)]
        return cross_entropy(self._logits(examples), self._labels(examples))

    def tokens_in(self, batch: int) -> int:
        return sum(len(self._training[place].text.ids) for place in self._order.at(batch))

    def measure(self) -> Mapping[str, float]:
        return self._figures(spread(self._held_out, QUICK))

    def evaluate(self) -> Mapping[str, float]:
        return self._figures(self._held_out)

    def _logits(self, examples: Sequence[_Tagged]) -> Tensor:
        """[B, T, labels]"""
        logits: Tensor = self.model(
            **inputs_of([one.text for one in examples], self._device)
        ).logits
        return logits

    def _labels(self, examples: Sequence[_Tagged]) -> Tensor:
        return padded([one.tags.labels for one in examples], IGNORED).to(self._device)

    def _figures(self, examples: Sequence[_Tagged]) -> dict[str, float]:
        lost, counted = 0.0, 0
        right = words = common = spans = 0
        for batch in chunks(examples):
            logits, labels = self._logits(batch), self._labels(batch)
            lost += float(cross_entropy(logits, labels, reduction="sum"))
            counted += int((labels != IGNORED).sum())
            for one, row in zip(batch, logits.argmax(-1).tolist(), strict=True):
                true = [self.labels[one.tags.labels[place]] for place in one.tags.places]
                said = [self.labels[row[place]] for place in one.tags.places]
                right += sum(a == b for a, b in zip(true, said, strict=True))
                words += len(true)
                wanted, found = entities(true, self.labels), entities(said, self.labels)
                common += len(wanted & found)
                spans += len(wanted) + len(found)
        return {
            "loss": lost / max(1, counted),
            "token_accuracy": right / max(1, words),
            "span_f1": 2 * common / max(1, spans),
        }


def open_token_classification(work: Assignment) -> WholeModelTuner:
    def write(model: nn.Module, folder: Path) -> None:
        save_model(model, work.model, folder)

    return WholeModelTuner(TagLearner(work), write)


def _tagged(
    examples: Sequence[TaggedTokens], reader: TextReader, labels: Sequence[str]
) -> list[_Tagged]:
    numbers = {label: place for place, label in enumerate(labels)}
    pieces = reader.encodings([text_of(one) for one in examples])
    return [
        _Tagged(encoded(found), tagged_pieces(one, found, numbers))
        for one, found in zip(examples, pieces, strict=True)
    ]
