"""The three translators under one training: what their loss is and how they translate greedily.

All read the same batches: the GRUs decode after `<s>`, Marian after `<pad>`, as its like do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import MarianConfig, MarianMTModel

from training.architectures.recurrent_seq2seq import RecurrentConfig, RecurrentSeq2Seq
from training.batch_order import BatchOrder
from training.padding import padded
from training.seq2seq_batches import EncodedPair, collate, cross_entropy
from training.seq2seq_networks import RecurrentNetwork, Seq2SeqNetwork, TransformerNetwork
from zoo.data.parallel_texts import LANGUAGES, Pair
from zoo.token_ids import token_id
from zoo.translation.corpus import Corpus
from zoo.translation.tokenizer import BEGIN_ID, END_ID, PAD_ID, language_token

MAX_POSITION = 128  # tokens
MAX_EXAMPLE = 64  # tokens per side; longer pairs are not trained on
SMOOTHING = 0.1  # of the labels, arXiv:1512.00567
BATCH_TOKENS = 2048
MEASURED_PAIRS = 256
TRANSLATED_AT_ONCE = 64


class TranslatorTrainee:
    """See `training.loop.Trainee`."""

    def __init__(
        self, network: Seq2SeqNetwork, tokenizer: Tokenizer, corpus: Corpus, seed: int
    ) -> None:
        self.model = network.model
        self.tokenizer = tokenizer
        self.corpus = corpus
        self._network = network
        encoded = encode(tokenizer, corpus.training)
        self._examples = [one for one in encoded if one.length <= MAX_EXAMPLE]
        lengths = [one.length for one in self._examples]
        self._order = BatchOrder(lengths, BATCH_TOKENS, seed)
        # By text, not by place: all languages and domains are among them.
        measured = sorted(corpus.held_out, key=lambda pair: pair.source)[:MEASURED_PAIRS]
        self._measured = collate(encode(tokenizer, measured), PAD_ID)

    def loss(self, step: int) -> Tensor:
        batch = collate([self._examples[place] for place in self._order.at(step)], PAD_ID)
        return cross_entropy(self._network.logits(batch), batch.labels, SMOOTHING)

    def measure(self) -> Mapping[str, float]:
        logits = self._network.logits(self._measured)
        return {"loss": float(cross_entropy(logits, self._measured.labels))}

    def translate(self, pairs: Sequence[Pair]) -> list[str]:
        """Greedy, in float32, the given order kept. The plain reference of the engine."""
        self.model.eval()
        order = sorted(range(len(pairs)), key=lambda place: len(pairs[place].source))
        texts = [""] * len(pairs)
        for start in range(0, len(order), TRANSLATED_AT_ONCE):
            places = order[start : start + TRANSLATED_AT_ONCE]
            sources = [one.source for one in encode(self.tokenizer, [pairs[at] for at in places])]
            lengths = torch.tensor(list(map(len, sources)))
            rows = self._network.greedy(padded(sources, PAD_ID), lengths, MAX_EXAMPLE)
            for place, text in zip(places, self.tokenizer.decode_batch(rows), strict=True):
                texts[place] = text.strip()
        return texts


class RecurrentTrainee(TranslatorTrainee):
    model: RecurrentSeq2Seq

    def __init__(
        self, model: RecurrentSeq2Seq, tokenizer: Tokenizer, corpus: Corpus, seed: int
    ) -> None:
        super().__init__(RecurrentNetwork(model), tokenizer, corpus, seed)


class MarianTrainee(TranslatorTrainee):
    def __init__(self, model: nn.Module, tokenizer: Tokenizer, corpus: Corpus, seed: int) -> None:
        super().__init__(TransformerNetwork(model), tokenizer, corpus, seed)


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


def encode(tokenizer: Tokenizer, pairs: Sequence[Pair]) -> list[EncodedPair]:
    """The languages' tokens in front of the sources, the end token behind both."""
    # The special token apart: before a text's first word the tokenizer puts a space of its own.
    named = {language: token_id(tokenizer, language_token(language)) for language in LANGUAGES}
    sources = tokenizer.encode_batch([pair.source for pair in pairs])
    targets = tokenizer.encode_batch([pair.target for pair in pairs])
    return [
        EncodedPair(
            source=(named[pair.language], *source.ids),
            target=tuple(target.ids),
        )
        for pair, source, target in zip(pairs, sources, targets, strict=True)
    ]
