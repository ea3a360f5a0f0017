"""A tokenizer.json on both sides: end tokens, cuts, and spaces that no text has."""

from __future__ import annotations

from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import WordLevel

from deployments.seq2seq.pieces import JsonPieces

NAMES = {"</s>": 0, "Ġa": 1, "Ġcat": 2, "<unk>": 3}


def byte_level() -> JsonPieces:
    tokenizer = Tokenizer(WordLevel(NAMES, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["</s>"])
    tokenizer.enable_truncation(1)
    return JsonPieces(tokenizer, end=0)


def test_an_output_begins_with_its_first_word() -> None:
    assert byte_level().decode([1, 2, 0]) == "a cat"


def test_the_end_token_is_added_where_the_file_does_not() -> None:
    assert byte_level().encode("a cat", None) == ([1, 2, 0], 3)


def test_what_is_cut_still_ends() -> None:
    assert byte_level().encode("a cat a cat", 3) == ([1, 2, 0], 5)
