"""The three translators under one training: what their loss is and how they translate greedily.

All read the same batches: the GRUs decode after `<s>`, Marian after `<pad>`, as its like do.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import MarianConfig, MarianMTModel

from training.architectures.recurrent_seq2seq import RecurrentConfig, RecurrentSeq2Seq
from training.batch_order import BatchOrder
from zoo.data.parallel_texts import LANGUAGES, Pair
from zoo.token_ids import token_id
from zoo.translation.batches import IGNORED, Batch, Example, collate, padded
from zoo.translation.corpus import Corpus
from zoo.translation.tokenizer import BEGIN_ID, END_ID, PAD_ID, language_token

MAX_POSITION = 128  # tokens
MAX_EXAMPLE = 64  # tokens per side; longer pairs are not trained on
SMOOTHING = 0.1  # of the labels, arXiv:1512.00567
BATCH_TOKENS = 2048
MEASURED_PAIRS = 256
TRANSLATED_AT_ONCE = 64


class TranslatorTrainee(ABC):
    """See `training.loop.Trainee`."""

    def __init__(self, model: nn.Module, tokenizer: Tokenizer, corpus: Corpus, seed: int) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.corpus = corpus
        encoded = encode(tokenizer, corpus.training)
        self._examples = [one for one in encoded if one.length <= MAX_EXAMPLE]
        lengths = [one.length for one in self._examples]
        self._order = BatchOrder(lengths, BATCH_TOKENS, seed)
        # By text, not by place: all languages and domains are among them.
        measured = sorted(corpus.held_out, key=lambda pair: pair.source)[:MEASURED_PAIRS]
        self._measured = collate(encode(tokenizer, measured))

    def loss(self, step: int) -> Tensor:
        batch = collate([self._examples[place] for place in self._order.at(step)])
        return _cross_entropy(self._logits(batch), batch.labels, SMOOTHING)

    def measure(self) -> Mapping[str, float]:
        logits = self._logits(self._measured)
        return {"loss": float(_cross_entropy(logits, self._measured.labels, 0.0))}

    def translate(self, pairs: Sequence[Pair]) -> list[str]:
        """Greedy, in float32, the given order kept. The plain reference of the engine."""
        self.model.eval()
        order = sorted(range(len(pairs)), key=lambda place: len(pairs[place].source))
        texts = [""] * len(pairs)
        for start in range(0, len(order), TRANSLATED_AT_ONCE):
            places = order[start : start + TRANSLATED_AT_ONCE]
            sources = [one.source for one in encode(self.tokenizer, [pairs[at] for at in places])]
            lengths = torch.tensor(list(map(len, sources)))
            with torch.no_grad():
                rows = self._greedy(padded(sources, PAD_ID), lengths)
            for place, text in zip(places, self.tokenizer.decode_batch(rows), strict=True):
                texts[place] = text.strip()
        return texts

    @abstractmethod
    def _logits(self, batch: Batch) -> Tensor:
        """[B, T, V], teacher forced."""

    @abstractmethod
    def _greedy(self, sources: Tensor, lengths: Tensor) -> list[list[int]]:
        """Token ids without the first and the end token."""


class RecurrentTrainee(TranslatorTrainee):
    model: RecurrentSeq2Seq

    def _logits(self, batch: Batch) -> Tensor:
        logits, _ = self.model(batch.sources, batch.lengths, _shifted(batch.labels, BEGIN_ID))
        return logits

    def _greedy(self, sources: Tensor, lengths: Tensor) -> list[list[int]]:
        rows: list[list[int]] = self.model.greedy(sources, lengths, MAX_EXAMPLE)
        return rows


class MarianTrainee(TranslatorTrainee):
    def _logits(self, batch: Batch) -> Tensor:
        inside = torch.arange(batch.sources.shape[1])[None] < batch.lengths[:, None]
        logits: Tensor = self.model(
            input_ids=batch.sources,
            attention_mask=inside.long(),
            decoder_input_ids=_shifted(batch.labels, PAD_ID),
            use_cache=False,
        ).logits
        return logits

    def _greedy(self, sources: Tensor, lengths: Tensor) -> list[list[int]]:
        inside = torch.arange(sources.shape[1])[None] < lengths[:, None]
        rows = self.model.generate(
            input_ids=sources,
            attention_mask=inside.long(),
            max_length=MAX_EXAMPLE + 1,  # the start token counts
            num_beams=1,
            do_sample=False,
        )
        special = (PAD_ID, END_ID, BEGIN_ID)
        return [[token for token in row if token not in special] for row in rows.tolist()]


def recurrent_model(vocabulary: int, *, attention: bool, seed: int) -> RecurrentSeq2Seq:
    torch.manual_seed(seed)
    return RecurrentSeq2Seq(
        RecurrentConfig(
            vocab_size=vocabulary,
            embedding_size=256,
            hidden_size=256,
            attention=attention,
            pad_token_id=PAD_ID,
            bos_token_id=BEGIN_ID,
            eos_token_id=END_ID,
            max_position=MAX_POSITION,
            dropout=0.2,
        )
    )


def marian_model(vocabulary: int, *, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    config = MarianConfig(
        vocab_size=vocabulary,
        d_model=256,
        encoder_layers=3,
        decoder_layers=3,
        encoder_ffn_dim=512,
        decoder_ffn_dim=512,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        activation_function="swish",
        dropout=0.1,
        attention_dropout=0.0,
        activation_dropout=0.0,
        init_std=0.0625,  # width ** -0.5: embeddings, scaled, are as large as positions
        scale_embedding=True,
        max_position_embeddings=MAX_POSITION,
        share_encoder_decoder_embeddings=True,
        tie_word_embeddings=True,
        pad_token_id=PAD_ID,
        bos_token_id=BEGIN_ID,
        eos_token_id=END_ID,
        decoder_start_token_id=PAD_ID,
        forced_eos_token_id=None,
    )
    model: nn.Module = MarianMTModel(config)
    model.set_attn_implementation("eager")  # in training on a CPU a third faster than sdpa
    model.generation_config.bad_words_ids = None
    model.generation_config.max_length = MAX_POSITION
    return model


def encode(tokenizer: Tokenizer, pairs: Sequence[Pair]) -> list[Example]:
    """The languages' tokens in front of the sources, the end token behind both."""
    # The special token apart: before a text's first word the tokenizer puts a space of its own.
    named = {language: token_id(tokenizer, language_token(language)) for language in LANGUAGES}
    sources = tokenizer.encode_batch([pair.source for pair in pairs])
    targets = tokenizer.encode_batch([pair.target for pair in pairs])
    return [
        Example(
            source=(named[pair.language], *source.ids),
            target=tuple(target.ids),
        )
        for pair, source, target in zip(pairs, sources, targets, strict=True)
    ]


def _shifted(labels: Tensor, first: int) -> Tensor:
    """What the decoder reads while it should say `labels`."""
    shifted = labels.new_full(labels.shape, first)
    shifted[:, 1:] = labels[:, :-1]
    return shifted.masked_fill(shifted == IGNORED, PAD_ID)


def _cross_entropy(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    return nn.functional.cross_entropy(
        logits.float().flatten(0, 1),
        labels.flatten(),
        ignore_index=IGNORED,
        label_smoothing=smoothing,
    )
