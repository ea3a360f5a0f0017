"""Targets for sources: the loss, and how near what is written is to what should be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from torch import Tensor, nn

from services.tuning.data.examples import Completion, Translation
from services.tuning.trainers.micro_batches import QUICK, chunks, micro_batches, spread
from services.tuning.trainers.seq2seq.network import TRANSLATORS, end_of, network_of
from services.tuning.trainers.seq2seq.pairs import Pair, PairReader
from services.tuning.trainers.tuner import Assignment
from services.tuning.trainers.whole_model import require_examples
from training.seq2seq_batches import EncodedPair, PairBatch, collate, cross_entropy
from training.text_scores import bleu, chrf, exact_match, rouge_l

Example = Translation | Completion

SMOOTHING = 0.1  # of translators' labels, which were trained so
WRITTEN = 64  # held-out examples that are written and compared


class PairLearner:
    """See `services.tuning.trainers.whole_model.Learner`."""

    model: nn.Module

    def __init__(self, work: Assignment) -> None:
        require_examples(work)
        base, plan = work.model, work.plan
        self._limit = min(plan.max_tokens, base.card.context_length)
        self._reader = PairReader(base, self._limit, end_of(base))
        training = self._reader.pairs(cast("Sequence[Example]", work.training))
        held_out = self._reader.pairs(cast("Sequence[Example]", work.held_out))
        self._training = self._reader.read(training)
        self._held_out = sorted(self._reader.read(held_out), key=lambda one: one.length)
        self._quick = self._reader.read(spread(held_out, QUICK))
        self._written = spread(held_out, WRITTEN)
        self._order = micro_batches([one.length for one in self._training], plan, work.spec.seed)
        self._smoothing = SMOOTHING if base.card.architecture in TRANSLATORS else 0.0
        self._device = work.device
        self._network = network_of(base, work.spec.hyperparameters, work.device)
        self.model = self._network.model

    def loss(self, step: int) -> Tensor:
        batch = self._batch([self._training[place] for place in self._order.at(step)])
        return cross_entropy(self._network.logits(batch), batch.labels, self._smoothing)

    def tokens_in(self, batch: int) -> int:
        """Of targets."""
        return sum(len(self._training[place].target) for place in self._order.at(batch))

    def measure(self) -> Mapping[str, float]:
        return {"loss": self._held_out_loss(self._quick)}

    def evaluate(self) -> Mapping[str, float]:
        outputs = self.write(self._written)
        references = [one.target for one in self._written]
        return {
            "loss": self._held_out_loss(self._held_out),
            "chrf": chrf(references, outputs),
            "bleu": bleu(references, outputs),
            "rouge_l": rouge_l(references, outputs),
            "exact_match": exact_match(references, outputs),
        }

    def write(self, pairs: Sequence[Pair]) -> list[str]:
        """Greedily, for each source; no text is much longer than the longest target."""
        found: list[str] = []
        for some in chunks(pairs):
            read = self._reader.read(some)
            most = min(self._limit, 8 + 2 * max(len(one.target) for one in read))
            batch = self._batch(read)
            rows = self._network.greedy(batch.sources, batch.lengths, most)
            found += self._reader.texts(rows)
        return found

    def _held_out_loss(self, pairs: Sequence[EncodedPair]) -> float:
        """The mean over all tokens, nothing smoothed."""
        lost, tokens = 0.0, 0
        for some in chunks(pairs):
            batch = self._batch(some)
            logits = self._network.logits(batch)
            lost += float(cross_entropy(logits, batch.labels, reduction="sum"))
            tokens += sum(len(one.target) for one in some)
        return lost / max(1, tokens)

    def _batch(self, pairs: Sequence[EncodedPair]) -> PairBatch:
        return collate(pairs, self._network.pad).to(self._device)
