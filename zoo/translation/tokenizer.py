"""One byte-level BPE tokenizer for the three languages, and how a source names its target.

source:  <fr> w1 w2 ... </s>       target:  w1 w2 ... </s>
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

VOCABULARY = 4000
PAD, UNKNOWN, BEGIN, END = "<pad>", "<unk>", "<s>", "</s>"
PAD_ID, BEGIN_ID, END_ID = 0, 2, 3


def language_token(language: str) -> str:
    return f"<{language}>"


def train_tokenizer(texts: Iterable[str], languages: Iterable[str]) -> Tokenizer:
    """The same texts in the same order give the same tokenizer."""
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    special = [PAD, UNKNOWN, BEGIN, END, *map(language_token, languages)]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", special_tokens=[(END, END_ID)]
    )
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path, languages: Iterable[str]) -> None:
    """As transformers' fast tokenizers are laid out."""
    from transformers import PreTrainedTokenizerFast

    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        unk_token=UNKNOWN,
        bos_token=BEGIN,
        eos_token=END,
        additional_special_tokens=list(map(language_token, languages)),
        clean_up_tokenization_spaces=False,
    )
    fast.save_pretrained(folder)
