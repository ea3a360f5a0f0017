"""A label for every token: the loss, and precision, recall and F1 of whole spans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import BertForTokenClassification

from training.batch_order import BatchOrder
from training.padding import IGNORED, attention_of, padded
from training.spans import label_names, labels_of, spans_of
from zoo.data.code_mentions import KINDS, Sentence
from zoo.encoder.low_rank import add_low_rank, freeze, learn
from zoo.encoder.minilm import base_tokenizer, label_config, with_head

LABELS = label_names(KINDS)
BATCH_TOKENS = 2048
MAX_TOKENS = 128
RANK = 8
QUICK_SENTENCES = 128
ANY = "any kind"


@dataclass(frozen=True)
class Encoded:
    ids: tuple[int, ...]
    labels: tuple[int, ...]  # IGNORED for [CLS] and [SEP]


@dataclass(frozen=True)
class SpanFigures:
    """Exact spans. `f1` has a row per kind, one for all kinds, and one that ignores kinds."""

    token_accuracy: float
    f1: Mapping[str, float]
    spans: int
    sentences: int


class TokenTrainee:
    """See `training.loop.Trainee`."""

    model: BertForTokenClassification

    def __init__(
        self, training: Sequence[Sentence], held_out: Sequence[Sentence], seed: int
    ) -> None:
        self.model = trainable_model(seed)
        self.tokenizer = base_tokenizer()
        self.held_out = encode(self.tokenizer, held_out)
        self._examples = encode(self.tokenizer, training)
        lengths = [len(one.ids) for one in self._examples]
        self._order = BatchOrder(lengths, BATCH_TOKENS, seed)

    def loss(self, step: int) -> Tensor:
        examples = [self._examples[place] for place in self._order.at(step)]
        labels = padded([one.labels for one in examples], IGNORED)
        return nn.functional.cross_entropy(
            self._logits(examples).float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED
        )

    def measure(self) -> Mapping[str, float]:
        every = max(1, len(self.held_out) // QUICK_SENTENCES)
        found = self.figures(self.held_out[::every])
        return {"token accuracy": found.token_accuracy, "span F1": found.f1["all"]}

    def figures(self, examples: Sequence[Encoded]) -> SpanFigures:
        """In float32."""
        self.model.eval()
        right = tokens = 0
        common: Counter[str] = Counter()
        true: Counter[str] = Counter()
        guessed: Counter[str] = Counter()
        for start in range(0, len(examples), 32):
            batch = examples[start : start + 32]
            with torch.no_grad():
                best = self._logits(batch).argmax(-1).tolist()
            for one, row in zip(batch, best, strict=True):
                places = [place for place, label in enumerate(one.labels) if label != IGNORED]
                right += sum(row[place] == one.labels[place] for place in places)
                tokens += len(places)
                wanted = spans_of([LABELS[one.labels[place]] for place in places])
                found = spans_of([LABELS[row[place]] for place in places])
                true.update(_counted(wanted))
                guessed.update(_counted(found))
                common.update(_counted(wanted & found))
                common[ANY] += len(_places(wanted) & _places(found)) - len(wanted & found)
        f1 = {
            kind: 2 * common[kind] / max(1, true[kind] + guessed[kind])
            for kind in (*KINDS, "all", ANY)
        }
        return SpanFigures(right / max(1, tokens), f1, true["all"], len(examples))

    def _logits(self, examples: Sequence[Encoded]) -> Tensor:
        rows = [one.ids for one in examples]
        logits: Tensor = self.model(
            input_ids=padded(rows), attention_mask=attention_of(rows)
        ).logits
        return logits


def trainable_model(seed: int) -> BertForTokenClassification:
    """A new head, and low-rank changes in all layers: what a name looks like is seen low down."""
    model = with_head(BertForTokenClassification, seed, **label_config(LABELS))
    freeze(model)
    add_low_rank(model, r"bert\.encoder\.layer\.\d\..*(query|key|value|dense)", RANK)
    learn(model, r".*lora_[AB]")
    learn(model, r"classifier\..*")
    return model


def encode(tokenizer: Tokenizer, sentences: Sequence[Sentence]) -> list[Encoded]:
    """Longer ones are left out, none is cut."""
    found = []
    encoded = tokenizer.encode_batch([one.text for one in sentences])
    for sentence, one in zip(sentences, encoded, strict=True):
        spans = [(mention.start, mention.end, mention.kind) for mention in sentence.mentions]
        labels = [LABELS.index(label) for label in labels_of(one.offsets, spans)]
        for place, special in enumerate(one.special_tokens_mask):
            if special:
                labels[place] = IGNORED
        if len(one.ids) <= MAX_TOKENS:
            found.append(Encoded(tuple(one.ids), tuple(labels)))
    return found


def _counted(spans: set[tuple[int, int, str]]) -> Counter[str]:
    """Per kind, and in all."""
    kinds = Counter(kind for _, _, kind in spans)
    return Counter({**kinds, "all": len(spans), ANY: len(spans)})


def _places(spans: set[tuple[int, int, str]]) -> set[tuple[int, int]]:
    return {(start, end) for start, end, _ in spans}
