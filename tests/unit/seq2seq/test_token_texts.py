"""Tokens as text, whatever their vocabulary's spelling: joined, they are what was written."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from deployments.seq2seq.token_texts import TokenTexts

TEXT = "Ses entités étaient petites, et les entrées aussi : 12 fois 3."
SPECIALS = ["</s>", "<unk>"]


def byte_level() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=276, special_tokens=SPECIALS, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([TEXT] * 9, trainer)
    return tokenizer


def sentencepiece() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=40, special_tokens=SPECIALS, show_progress=False)
    tokenizer.train_from_iterator([TEXT] * 9, trainer)
    return tokenizer


def wordpiece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=55, special_tokens=SPECIALS)
    trainer.show_progress = False
    tokenizer.train_from_iterator([TEXT] * 9, trainer)
    return tokenizer


@pytest.mark.parametrize("make", [byte_level, sentencepiece, wordpiece])
def test_joined_they_are_the_text(make: Callable[[], Tokenizer]) -> None:
    tokenizer = make()
    ids = tokenizer.encode(TEXT).ids
    texts = [TokenTexts(tokenizer).text(one) for one in ids]
    assert len(ids) > len(TEXT.split())  # words are in pieces
    assert "".join(texts).strip() == tokenizer.decode(ids).strip()
    assert all(text not in {"Ġ", "▁"} and not text.startswith(("Ġ", "▁", "##")) for text in texts)


def test_a_space_in_front_begins_a_word() -> None:
    tokenizer = byte_level()
    texts = [TokenTexts(tokenizer).text(one) for one in tokenizer.encode("étaient petites").ids]
    assert sum(text.startswith(" ") for text in texts) == 2


def test_special_tokens_and_unknown_numbers_have_names() -> None:
    texts = TokenTexts(byte_level())
    assert (texts.text(0), texts.text(9999)) == ("</s>", "<9999>")


def test_a_part_of_a_character_is_spelt_as_the_vocabulary_does() -> None:
    tokenizer = byte_level()
    part = tokenizer.token_to_id("Ã")
    assert part is not None
    assert TokenTexts(tokenizer).text(part) == "Ã"
