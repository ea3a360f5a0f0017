"""Small random encoder-decoders of every class, saved as their libraries save them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    MarianConfig,
    MarianMTModel,
    T5Config,
    T5ForConditionalGeneration,
)

from deployments.kernels.seq2seq import load_seq2seq
from deployments.kernels.seq2seq_build import build_seq2seq
from deployments.kernels.seq2seq_session import Seq2SeqSession
from training.architectures.recurrent_seq2seq import RecurrentConfig, RecurrentSeq2Seq

VOCABULARY = 160
LONGEST = 64
MAX_TARGET = 48
POST_NORM = {
    "vocab_size": VOCABULARY,
    "d_model": 64,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 96,
    "decoder_ffn_dim": 96,
    "max_position_embeddings": LONGEST,
}


def t5(folder: Path, **options: object) -> T5ForConditionalGeneration:
    torch.manual_seed(0)
    shape = {
        "vocab_size": VOCABULARY,
        "d_model": 64,
        "d_kv": 16,
        "d_ff": 96,
        "num_layers": 3,
        "num_decoder_layers": 2,
        "num_heads": 2,
        "decoder_start_token_id": 0,
        "relative_attention_num_buckets": 8,
        "relative_attention_max_distance": 20,
    }
    model = T5ForConditionalGeneration(T5Config(**shape | options))
    if not options.get("tie_word_embeddings", True):
        model.config.tie_word_embeddings = False  # transformers 5 ties whatever is asked for
        model.lm_head.weight = torch.nn.Parameter(torch.randn(VOCABULARY, 64) * 0.3)
    return _saved(model, folder)


def gated_t5(folder: Path) -> T5ForConditionalGeneration:
    """As flan-T5: GeGLU, and a head of its own whose input is not scaled."""
    return t5(folder, feed_forward_proj="gated-gelu", tie_word_embeddings=False)


def bart(folder: Path) -> BartForConditionalGeneration:
    torch.manual_seed(0)
    config = BartConfig(
        **POST_NORM,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        decoder_start_token_id=2,
        init_std=0.2,
    )
    model = BartForConditionalGeneration(config)
    model.generation_config.forced_bos_token_id = 0  # as bart-large-cnn has it
    return _saved(model, folder)


def marian(folder: Path) -> MarianMTModel:
    torch.manual_seed(0)
    config = MarianConfig(
        **POST_NORM,
        pad_token_id=VOCABULARY - 1,
        eos_token_id=0,
        decoder_start_token_id=VOCABULARY - 1,
        scale_embedding=True,
        activation_function="swish",
        init_std=0.2,
    )
    model = MarianMTModel(config)
    model.generation_config.bad_words_ids = [[VOCABULARY - 1]]
    return _saved(model, folder)


def recurrent(folder: Path, *, attention: bool = True, tied: bool = True) -> RecurrentSeq2Seq:
    torch.manual_seed(0)
    model = RecurrentSeq2Seq(
        RecurrentConfig(
            vocab_size=VOCABULARY,
            embedding_size=32,
            hidden_size=64,
            attention=attention,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            max_position=LONGEST,
            tie_word_embeddings=tied,
        )
    ).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)  # far from uniform, so that a wrong part would show
    model.save_pretrained(folder)
    return model


TRANSFORMERS: dict[str, Callable[[Path], Any]] = {
    "t5": t5,
    "gated t5": gated_t5,
    "bart": bart,
    "marian": marian,
}


def opened(folder: Path, target: Path, precision: str = "fp32") -> Seq2SeqSession:
    target.mkdir(exist_ok=True)
    build_seq2seq(folder, target, precision)
    return load_seq2seq(target, MAX_TARGET, threads=1)


LIVELY = {
    "shared.weight": 0.2,
    "relative": 10.0,
    ".wo.": 4.0,
    "EncDecAttention": 2.0,
    "SelfAttention": 2.0,
    "fc1.weight": 2.0,
    "fc2.weight": 2.0,
    "proj.weight": 1.5,
}


def lively(name: str, folder: Path) -> Any:
    """One whose outputs vary and sometimes end: most random models repeat one token."""
    model = TRANSFORMERS[name](folder)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            for part, factor in LIVELY.items():
                if part in parameter_name:
                    parameter.mul_(factor)
                    break
    _end_midway(model)
    model.save_pretrained(folder)
    return model


def padded(sources: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Ids and mask, [texts, longest]."""
    longest = max(map(len, sources))
    ids = torch.zeros(len(sources), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, source in enumerate(sources):
        ids[row, : len(source)] = torch.tensor(source)
        mask[row, : len(source)] = 1
    return ids, mask


def _saved(model: Any, folder: Path) -> Any:
    model.eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.uniform_(-0.1, 0.1)  # so that one left out would show
            elif "norm" in name:
                parameter.uniform_(0.5, 1.5)
        if hasattr(model, "final_logits_bias"):
            model.final_logits_bias.uniform_(-0.05, 0.05)
    # So that attention weights are given out.
    model.set_attn_implementation("eager")
    model.save_pretrained(folder)
    return model


def _end_midway(model: Any) -> None:
    """The end token becomes one that is found now and then, or no output would ever end."""
    source = torch.arange(5, 25)[None]
    with torch.no_grad():
        row = model.generate(input_ids=source, max_length=12, do_sample=False, num_beams=1)[0]
    end = next(int(token) for token in row[4:] if token not in row[:4])
    for config in (model.config, model.generation_config):
        config.eos_token_id = end
        if getattr(config, "forced_eos_token_id", None) is not None:
            config.forced_eos_token_id = end
