"""Texts -> token ids within the limit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from bestiary.errors import ContextOverflow, InvalidRequest
from deployments.encoder.tokenization import EncoderTokenizer, TokenizedInput, load_tokenizer
from tests.unit.encoder.small_models import word_pieces

LIMIT = 5


@pytest.fixture
def tokenizer(words: Tokenizer) -> EncoderTokenizer:
    return EncoderTokenizer(words, LIMIT)


def test_a_text_gets_its_special_tokens(tokenizer: EncoderTokenizer) -> None:
    assert tokenizer.encode(["a b"], False) == [TokenizedInput((1, 3, 4, 2), False)]


def test_a_text_of_the_limit_fits(tokenizer: EncoderTokenizer) -> None:
    assert tokenizer.encode(["a b c"], False) == [TokenizedInput((1, 3, 4, 5, 2), False)]


def test_a_text_over_the_limit_is_refused_with_its_size(tokenizer: EncoderTokenizer) -> None:
    with pytest.raises(ContextOverflow) as refused:
        tokenizer.encode(["a", "a b c a"], False)
    assert (refused.value.prompt_tokens, refused.value.context_length) == (6, LIMIT)
    assert "input 1" in str(refused.value)


def test_a_text_is_cut_where_asked_and_keeps_its_end(tokenizer: EncoderTokenizer) -> None:
    assert tokenizer.encode(["a b c a"], True) == [TokenizedInput((1, 3, 4, 5, 2), True)]


def test_a_pair_tells_its_texts_by_segments() -> None:
    pairs = EncoderTokenizer(word_pieces(), 16)
    (one,) = pairs.encode([("the sea", "a ship")], False)
    assert one.tokens == ("[CLS]", "the", "sea", "[SEP]", "a", "ship", "[SEP]")
    assert one.segments == (0, 0, 0, 0, 1, 1, 1)
    assert one.offsets[4:6] == ((0, 1), (2, 6))


@pytest.mark.parametrize(
    ("first", "second", "left"),
    [(20, 2, (11, 2)), (2, 20, (2, 11)), (20, 20, (6, 7)), (3, 10, (3, 10))],
)
def test_of_a_pair_the_longer_text_is_cut(first: int, second: int, left: tuple[int, int]) -> None:
    pairs = EncoderTokenizer(word_pieces(), 16)
    (one,) = pairs.encode([("sea " * first, "ship " * second)], True)
    assert (one.tokens.count("sea"), one.tokens.count("ship")) == left
    assert one.truncated is (first + second > 13)


def test_a_pair_over_the_limit_is_refused_with_its_size() -> None:
    with pytest.raises(ContextOverflow, match="input 0 has 17 tokens; the model takes 16"):
        EncoderTokenizer(word_pieces(), 16).encode([("sea " * 7, "ship " * 7)], False)


def test_token_ids_are_taken_as_they_are(tokenizer: EncoderTokenizer) -> None:
    assert tokenizer.encode([(1, 3, 2)], False) == [TokenizedInput((1, 3, 2), False)]


def test_token_ids_over_the_limit_are_refused_or_cut(tokenizer: EncoderTokenizer) -> None:
    ids = (3,) * 6
    assert tokenizer.encode([ids], True) == [TokenizedInput(ids[:LIMIT], True)]
    with pytest.raises(ContextOverflow):
        tokenizer.encode([ids], False)


@pytest.mark.parametrize("value", ["", (), (3, 6), (-1,)])
def test_what_is_no_input_is_refused(
    tokenizer: EncoderTokenizer, value: str | tuple[int, ...]
) -> None:
    with pytest.raises(InvalidRequest, match="input 0"):
        tokenizer.encode([value], False)


def test_counting_knows_no_limit(tokenizer: EncoderTokenizer) -> None:
    assert tokenizer.count("a a a a a a") == (1, 3, 3, 3, 3, 3, 3, 2)


def test_the_folder_names_its_mask(words: Tokenizer, tmp_path: Path) -> None:
    words.save(str(tmp_path / "tokenizer.json"))
    assert load_tokenizer(tmp_path, longest=32).mask == "[MASK]"
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"mask_token": "<mask>"}))
    assert load_tokenizer(tmp_path, longest=32).mask == "<mask>"


@pytest.mark.parametrize(("trained", "limit"), [(4, 4), (64, 32), (None, 32)])
def test_the_smallest_limit_holds(
    words: Tokenizer, tmp_path: Path, trained: int | None, limit: int
) -> None:
    words.save(str(tmp_path / "tokenizer.json"))
    if trained is not None:
        text = json.dumps({"max_seq_length": trained})
        (tmp_path / "sentence_bert_config.json").write_text(text)
    assert load_tokenizer(tmp_path, longest=32).limit == limit
