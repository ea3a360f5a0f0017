"""Texts that mean the same get near vectors: pairs or triplets, ranked within their batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from safetensors import safe_open
from torch import Tensor, nn

from bestiary.errors import InvalidRequest
from services.tuning.data.examples import TextPair
from services.tuning.trainers.encoder.bert import body_of, learning, limit_of, save_model
from services.tuning.trainers.encoder.encoded import EncodedText, TextReader, inputs_of
from services.tuning.trainers.encoder.pooling import pooled, pooling_of
from services.tuning.trainers.encoder.retrieval import (
    own_answers,
    ranking_loss,
    retrieval_figures,
)
from services.tuning.trainers.micro_batches import QUICK, chunks, micro_batches, spread
from services.tuning.trainers.model_folder import SENTENCE_FILES, take_over
from services.tuning.trainers.tuner import Assignment
from services.tuning.trainers.whole_model import WholeModelTuner, require_examples

POOLER = "pooler.dense"  # of BERT; no embedding reads it


@dataclass(frozen=True)
class _Pair:
    anchor: EncodedText
    positive: EncodedText
    negative: EncodedText | None

    @property
    def texts(self) -> tuple[EncodedText, ...]:
        others = () if self.negative is None else (self.negative,)
        return (self.anchor, self.positive, *others)


class EmbeddingLearner:
    """See `services.tuning.trainers.whole_model.Learner`."""

    model: nn.Module

    def __init__(self, work: Assignment) -> None:
        require_examples(work)
        reader = TextReader(work.model.path, limit_of(work))
        self._training = _encoded(cast("Sequence[TextPair]", work.training), reader)
        self._held_out = _encoded(cast("Sequence[TextPair]", work.held_out), reader)
        self._at_once = work.plan.micro_batch_size
        if self._at_once < 2 and any(one.negative is None for one in self._training):
            raise InvalidRequest(
                "pairs are told apart from the others of their batch; a micro batch must have "
                "two or more",
                "hyperparameters.micro_batch_size",
            )
        lengths = [max(len(text.ids) for text in one.texts) for one in self._training]
        self._order = micro_batches(lengths, work.plan, work.spec.seed)
        self._device = work.device
        self._pooling = pooling_of(work.model.path)
        body = body_of(work.model, pooler=_has_pooler(work))
        unused = (POOLER,) if body.pooler is not None else ()
        chosen = work.spec.hyperparameters
        self.model = learning(body, chosen, unused=unused).to(work.device)

    def loss(self, step: int) -> Tensor:
        return self._loss([self._training[place] for place in self._order.at(step)])

    def tokens_in(self, batch: int) -> int:
        pairs = (self._training[place] for place in self._order.at(batch))
        return sum(len(text.ids) for pair in pairs for text in pair.texts)

    def measure(self) -> Mapping[str, float]:
        return self._figures(spread(self._held_out, QUICK))

    def evaluate(self) -> Mapping[str, float]:
        return self._figures(self._held_out)

    def _loss(self, pairs: Sequence[_Pair]) -> Tensor:
        questions, candidates, own = _task(pairs)
        vectors = self._vectors([*questions, *candidates])
        return ranking_loss(vectors[: len(questions)], vectors[len(questions) :], own)

    def _figures(self, pairs: Sequence[_Pair]) -> dict[str, float]:
        """The loss in batches as they are trained on, the ranks among all texts."""
        lost = sum(float(self._loss(some)) * len(some) for some in chunks(pairs, self._at_once))
        questions, candidates, own = _task(pairs)
        distinct = {text: place for place, text in reversed(list(enumerate(candidates)))}
        places = sorted(distinct.values())
        found = retrieval_figures(
            torch.cat([self._vectors(some) for some in chunks(questions)]),
            torch.cat([self._vectors(some) for some in chunks([candidates[at] for at in places])]),
            own[:, places],
        )
        return {"loss": lost / len(pairs), **found}

    def _vectors(self, texts: Sequence[EncodedText]) -> Tensor:
        """[texts, width], of unit length."""
        inputs = inputs_of(texts, self._device)
        hidden = self.model(**inputs).last_hidden_state
        return pooled(hidden, inputs["attention_mask"], self._pooling)


def open_embedding(work: Assignment) -> WholeModelTuner:
    def write(model: nn.Module, folder: Path) -> None:
        save_model(model, work.model, folder)
        take_over(work.model.path, folder, SENTENCE_FILES)

    return WholeModelTuner(EmbeddingLearner(work), write)


def _task(
    pairs: Sequence[_Pair],
) -> tuple[list[EncodedText], list[EncodedText], Tensor]:
    """Questions, candidates (their answers in order, then the negatives), who answers whom."""
    questions = [one.anchor for one in pairs]
    answers = [one.positive for one in pairs]
    negatives = [one.negative for one in pairs if one.negative is not None]
    candidates = [*answers, *negatives]
    return questions, candidates, own_answers(questions, answers, candidates)


def _encoded(pairs: Sequence[TextPair], reader: TextReader) -> list[_Pair]:
    anchors = reader.read([one.anchor for one in pairs])
    positives = reader.read([one.positive for one in pairs])
    negatives = iter(reader.read([one.negative for one in pairs if one.negative is not None]))
    return [
        _Pair(anchor, positive, None if one.negative is None else next(negatives))
        for one, anchor, positive in zip(pairs, anchors, positives, strict=True)
    ]


def _has_pooler(work: Assignment) -> bool:
    """Whether the base's files have one: one that they lack would be saved as drawn."""
    names: set[str] = set()
    for path in work.model.path.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            names.update(file.keys())
    return any(name.endswith(f"{POOLER}.weight") for name in names)
