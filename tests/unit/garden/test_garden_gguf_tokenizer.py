"""The tokenizer that is written for a GGUF file: specials, BOS, refusals."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import gguf
import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from bestiary.errors import GardenError
from bestiary.garden.gguf.reader import GgufFile
from bestiary.garden.gguf.tokenizer import special_ids, stop_ids, write_tokenizer

Vocabulary = Callable[..., GgufFile]
WORDS = ("he", "ll", "hell", "hello")
SPECIAL = ("<s>", "</s>", "<end>")


@pytest.fixture
def byte_level(tmp_path: Path) -> Vocabulary:
    """A byte-level vocabulary of 256 letters, four words and three special tokens."""

    def write(
        pre: str = "gpt-2", flags: Sequence[tuple[str, bool]] = (), bos: int = 260
    ) -> GgufFile:
        writer = gguf.GGUFWriter(tmp_path / "v.gguf", "llama")
        tokens = [*sorted(bytes_to_unicode().values()), *WORDS, *SPECIAL]
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(pre)
        writer.add_token_list(tokens)
        writer.add_token_types([1] * 260 + [3] * 3)
        writer.add_token_merges(["h e", "l l"])
        writer.add_bos_token_id(bos)
        writer.add_eos_token_id(261)
        writer.add_uint32("tokenizer.ggml.eot_token_id", 262)
        for key, value in flags:
            writer.add_bool(f"tokenizer.ggml.{key}", value)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return GgufFile(tmp_path / "v.gguf")

    return write


def encoded(file: GgufFile, text: str, folder: Path) -> list[str]:
    write_tokenizer(file, 64, folder)
    tokens: list[str] = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text).tokens
    return tokens


def test_special_tokens_stay_whole_and_text_is_merged(
    byte_level: Vocabulary, tmp_path: Path
) -> None:
    assert encoded(byte_level(), "hell</s>", tmp_path) == ["he", "ll", "</s>"]


def test_bos_is_put_first_where_the_file_asks(byte_level: Vocabulary, tmp_path: Path) -> None:
    file = byte_level(flags=[("add_bos_token", True)])
    assert encoded(file, "he", tmp_path) == ["<s>", "he"]
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded("he").input_ids == loaded.convert_tokens_to_ids(["<s>", "he"])


def test_llama3_vocabulary_takes_whole_words_and_begins_with_bos(
    byte_level: Vocabulary, tmp_path: Path
) -> None:
    assert encoded(byte_level(pre="llama-bpe"), "hello", tmp_path) == ["<s>", "hello"]


def test_llama3_vocabulary_without_bos_where_the_file_says_so(
    byte_level: Vocabulary, tmp_path: Path
) -> None:
    file = byte_level(pre="llama-bpe", flags=[("add_bos_token", False)])
    assert encoded(file, "hello", tmp_path) == ["hello"]


def test_smollm_splits_blanks_from_digits(byte_level: Vocabulary, tmp_path: Path) -> None:
    assert encoded(byte_level(pre="smollm"), "a 12", tmp_path) == ["a", "Ġ", "1", "2"]


def test_every_text_comes_back(byte_level: Vocabulary, tmp_path: Path) -> None:
    write_tokenizer(byte_level(), 64, tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    for text in ("", " ", "  two\n\ttabs", "naïve café", "日本語 🦊", "it 's , fine .", "\x00\x7f"):
        assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_stops_are_the_end_of_text_and_of_turn(byte_level: Vocabulary) -> None:
    assert stop_ids(byte_level()) == [261, 262]


def test_missing_pad_token_is_the_end_of_text(byte_level: Vocabulary, tmp_path: Path) -> None:
    write_tokenizer(byte_level(), 64, tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert (config["bos_token"], config["eos_token"], config["pad_token"]) == (
        "<s>",
        "</s>",
        "</s>",
    )
    assert config["model_max_length"] == 64


def test_unknown_pre_tokenizer_is_refused_not_guessed(
    byte_level: Vocabulary, tmp_path: Path
) -> None:
    with pytest.raises(GardenError, match=r"'new-one' is not known; known: .*smollm"):
        write_tokenizer(byte_level(pre="new-one"), 64, tmp_path)


def test_special_id_outside_the_vocabulary_is_refused(byte_level: Vocabulary) -> None:
    with pytest.raises(GardenError, match="bos_token is 999, outside its 263 tokens"):
        special_ids(byte_level(bos=999))
