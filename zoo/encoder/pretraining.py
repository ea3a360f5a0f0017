"""MLM and NSP heads for MiniLM: the loss, and how good the guesses are on held-out text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import BertForPreTraining

from training.batch_order import BatchOrder
from training.padding import attention_of, padded
from zoo.encoder.low_rank import add_low_rank, freeze, learn
from zoo.encoder.masking import Masked, mask
from zoo.encoder.minilm import base_tokenizer, with_head
from zoo.encoder.sentence_pairs import SentencePair
from zoo.token_ids import token_id

BATCH_TOKENS = 2048
MAX_TOKENS = 128  # of a pair; the longer ones are cut
RANK = 8
# With equal weights the words' gradient drowns the pairs': after 300 steps they were guessed.
WORDS_FIRST, NEIGHBOURS_WEIGHT = 400, 5.0  # steps
QUICK_PAIRS = 128  # measured while training
EVALUATED_AT_ONCE = 32


@dataclass(frozen=True)
class Encoded:
    ids: tuple[int, ...]
    segments: tuple[int, ...]
    special: tuple[int, ...]  # 1 for [CLS] and [SEP]
    neighbours: bool


@dataclass(frozen=True)
class Figures:
    """Over the tokens that became [MASK], and over the pairs."""

    top_1: float
    top_5: float
    next_sentence: float
    masked_tokens: int
    pairs: int


class PretrainingTrainee:
    """See `training.loop.Trainee`. `held_out` is by domain; its first is measured on the way."""

    model: BertForPreTraining

    def __init__(
        self,
        training: Sequence[SentencePair],
        held_out: Mapping[str, Sequence[SentencePair]],
        seed: int,
    ) -> None:
        self.model = trainable_model(seed)
        self.tokenizer = base_tokenizer()
        self.held_out = {name: encode(self.tokenizer, pairs) for name, pairs in held_out.items()}
        self._seed = seed
        self._examples = encode(self.tokenizer, training)
        begin_with_frequencies(self.model, self._examples)
        lengths = [len(one.ids) for one in self._examples]
        self._order = BatchOrder(lengths, BATCH_TOKENS, seed)
        self._mask_id = token_id(self.tokenizer, "[MASK]")

    def loss(self, step: int) -> Tensor:
        examples = [self._examples[place] for place in self._order.at(step)]
        batch = Batch.of(examples)
        masked = self._mask(batch, self._seed * 1_000_003 + step)
        words, following = self._logits(batch, masked)
        guessing = nn.functional.cross_entropy(words.float(), batch.ids[masked.chosen])
        weight = 1.0 if step < WORDS_FIRST else NEIGHBOURS_WEIGHT
        return guessing + weight * nn.functional.cross_entropy(following.float(), batch.labels)

    def measure(self) -> Mapping[str, float]:
        name = next(iter(self.held_out))
        found = self.figures(self.held_out[name][:QUICK_PAIRS])
        return {"top 1": found.top_1, "top 5": found.top_5, "next sentence": found.next_sentence}

    def figures(self, examples: Sequence[Encoded]) -> Figures:
        """In float32; the masks are the same in every call."""
        self.model.eval()
        hits_1 = hits_5 = tokens = right = 0
        for start in range(0, len(examples), EVALUATED_AT_ONCE):
            batch = Batch.of(examples[start : start + EVALUATED_AT_ONCE])
            masked = self._mask(batch, start)
            with torch.no_grad():
                words, following = self._logits(batch, masked)
            was_masked = masked.masked[masked.chosen]
            guesses = words[was_masked].topk(5).indices
            hits = guesses == batch.ids[masked.masked][:, None]
            hits_1 += int(hits[:, 0].sum())
            hits_5 += int(hits.any(-1).sum())
            tokens += len(hits)
            right += int((following.argmax(-1) == batch.labels).sum())
        return Figures(
            hits_1 / max(1, tokens),
            hits_5 / max(1, tokens),
            right / max(1, len(examples)),
            tokens,
            len(examples),
        )

    def _mask(self, batch: Batch, seed: int) -> Masked:
        return mask(
            batch.ids,
            batch.attention.bool() & ~batch.special.bool(),
            mask_id=self._mask_id,
            vocabulary=self.model.config.vocab_size,
            seed=seed,
        )

    def _logits(self, batch: Batch, masked: Masked) -> tuple[Tensor, Tensor]:
        """Of the chosen tokens [tokens, V], and of the pairs [B, 2]."""
        hidden = self.model.bert(
            input_ids=masked.input_ids,
            token_type_ids=batch.segments,
            attention_mask=batch.attention,
        )
        # The vocabulary's logits for what is guessed only: a seventh of the work.
        words = self.model.cls.predictions(hidden.last_hidden_state[masked.chosen])
        return words, self.model.cls.seq_relationship(hidden.pooler_output)


@dataclass(frozen=True)
class Batch:
    ids: Tensor  # int64 [B, S], as all of them
    segments: Tensor
    attention: Tensor
    special: Tensor
    labels: Tensor  # [B]; 0 for neighbours, as BERT counts

    @classmethod
    def of(cls, examples: Sequence[Encoded]) -> Batch:
        rows = [one.ids for one in examples]
        return cls(
            padded(rows),
            padded([one.segments for one in examples]),
            attention_of(rows),
            padded([one.special for one in examples]),
            torch.tensor([int(not one.neighbours) for one in examples]),
        )


def trainable_model(seed: int) -> BertForPreTraining:
    """New heads, thawed with the pooler, the norms and the segments; the rest low-rank."""
    model = with_head(BertForPreTraining, seed)
    freeze(model)
    add_low_rank(model, r"bert\.encoder\.layer\.\d+\..*(query|key|value|dense)", RANK)
    learn(model, r".*lora_[AB]")
    learn(model, r"cls\.predictions\.(transform\..*|bias)")
    learn(model, r"cls\.seq_relationship\..*")
    learn(model, r"bert\.pooler\..*")
    learn(model, r"bert\..*LayerNorm\..*")
    learn(model, r"bert\.embeddings\.token_type_embeddings\.weight")
    return model


def begin_with_frequencies(model: BertForPreTraining, examples: Sequence[Encoded]) -> None:
    """The word head's bias becomes the words' log frequencies: what it would learn first."""
    counts = torch.ones(model.config.vocab_size)
    ids = torch.tensor([token for one in examples for token in one.ids])
    counts += torch.bincount(ids, minlength=len(counts))
    with torch.no_grad():
        model.cls.predictions.bias.copy_((counts / counts.sum()).log())


def encode(tokenizer: Tokenizer, pairs: Sequence[SentencePair]) -> list[Encoded]:
    """[CLS] first [SEP] second [SEP], at most MAX_TOKENS; the longer sentence is cut first."""
    tokenizer.enable_truncation(MAX_TOKENS, strategy="longest_first")
    found = tokenizer.encode_batch([(pair.first, pair.second) for pair in pairs])
    tokenizer.no_truncation()
    return [
        Encoded(
            tuple(one.ids), tuple(one.type_ids), tuple(one.special_tokens_mask), pair.neighbours
        )
        for pair, one in zip(pairs, found, strict=True)
    ]
