"""Encoder-decoders under one training: what they say teacher forced, and what they write.

The GRU of this repository, and any of transformers' own (Marian, T5, BART). Knows token ids,
no text and no loss.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from training.architectures.recurrent_seq2seq import RecurrentSeq2Seq
from training.seq2seq_batches import PairBatch, shifted


class Seq2SeqNetwork(Protocol):
    @property
    def model(self) -> nn.Module: ...

    @property
    def pad(self) -> int:
        """The token that sources are padded with."""
        ...

    def logits(self, batch: PairBatch) -> Tensor:
        """[B, T, V], teacher forced."""
        ...

    def greedy(self, sources: Tensor, lengths: Tensor, most: int) -> list[list[int]]:
        """The likeliest token after the likeliest, up to `most`; special tokens left out.

        `sources` int64 [B, S], padded on the right; `lengths` int64 [B].
        """
        ...


class RecurrentNetwork:
    def __init__(self, model: RecurrentSeq2Seq) -> None:
        self.model = model
        self.pad = model.config.pad_token_id

    def logits(self, batch: PairBatch) -> Tensor:
        read = shifted(batch.labels, self.model.config.bos_token_id, self.pad)
        logits: Tensor
        logits, _ = self.model(batch.sources, batch.lengths, read)
        return logits

    def greedy(self, sources: Tensor, lengths: Tensor, most: int) -> list[list[int]]:
        rows: list[list[int]] = self.model.greedy(sources, lengths, most)
        return rows


class TransformerNetwork:
    """A model of transformers, or peft's wrapping of one."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.pad = int(model.config.pad_token_id)
        self._start = int(model.config.decoder_start_token_id)
        ends = model.generation_config.eos_token_id
        ends = ends if isinstance(ends, list) else [ends]
        self._special = {self.pad, self._start, model.config.bos_token_id, *ends}

    def logits(self, batch: PairBatch) -> Tensor:
        logits: Tensor = self.model(
            input_ids=batch.sources,
            attention_mask=_inside(batch.sources, batch.lengths),
            decoder_input_ids=shifted(batch.labels, self._start, self.pad),
            use_cache=False,
        ).logits
        return logits

    @torch.no_grad()  # type: ignore[untyped-decorator]  # torch is not followed
    def greedy(self, sources: Tensor, lengths: Tensor, most: int) -> list[list[int]]:
        rows = self.model.generate(
            input_ids=sources,
            attention_mask=_inside(sources, lengths),
            max_length=most + 1,  # the start token counts
            num_beams=1,
            do_sample=False,
        )
        return [[token for token in row if token not in self._special] for row in rows.tolist()]


def _inside(sources: Tensor, lengths: Tensor) -> Tensor:
    """int64 [B, S]: one where there is a token."""
    places = torch.arange(sources.shape[1], device=sources.device)
    return (places[None] < lengths[:, None]).long()
