"""What a single token stands for, to the byte."""

from __future__ import annotations

from pathlib import Path

import pytest
from llguidance import LLTokenizer
from text_tokenizers import END, byte_tokenizer, fallback_tokenizer
from tokenizers import Tokenizer, decoders, models

from bestiary.garden import Garden
from deployments.text.spelling import Speller, Spelling
from deployments.text.tokenizer import TextTokenizer

TEXT = "the sea is 50 € wide, 你好 ñ 🐙\n\t\x00"


def test_a_texts_tokens_spell_its_bytes() -> None:
    tokenizer = byte_tokenizer()
    ids = tokenizer.encode(TEXT, as_prompt=False)
    spelt = [tokenizer.spell(one) for one in ids]
    assert b"".join(one.data for one in spelt) == TEXT.encode()
    assert not any(one.special for one in spelt)


def test_a_part_of_a_character_is_its_bytes() -> None:
    tokenizer = byte_tokenizer()
    ids = tokenizer.encode("€", as_prompt=False)
    assert [tokenizer.spell(one).data for one in ids] == [b"\xe2", b"\x82", b"\xac"]


def test_byte_fallback_spells_bytes_and_spaces() -> None:
    tokenizer = fallback_tokenizer()
    ids = tokenizer.encode("a é", as_prompt=False)
    assert [tokenizer.spell(one).data for one in ids] == [b" a", b" ", b"\xc3", b"\xa9"]


def test_a_special_token_is_its_name() -> None:
    tokenizer = byte_tokenizer()
    end = tokenizer.id_of(END)
    assert end is not None
    assert tokenizer.spell(end) == Spelling(END.encode(), special=True)


def test_an_added_token_is_text() -> None:
    tokenizer = byte_tokenizer(added=["<tool_call>"])
    token = tokenizer.id_of("<tool_call>")
    assert token is not None
    assert tokenizer.spell(token) == Spelling(b"<tool_call>", special=False)
    assert tokenizer.decode([token]) == "<tool_call>"


def test_a_special_token_may_be_made_visible() -> None:
    hidden = byte_tokenizer(special=["<tool_call>"])
    shown = byte_tokenizer(special=["<tool_call>"], visible=["<tool_call>"])
    token = hidden.id_of("<tool_call>")
    assert token is not None
    assert (hidden.decode([token]), shown.decode([token])) == ("", "<tool_call>")
    assert not shown.spell(token).special


def test_ids_that_only_a_padded_model_has_stand_for_nothing() -> None:
    assert byte_tokenizer().spell(10_000) == Spelling(b"", special=True)


def test_without_a_decoder_an_entry_is_its_own_text() -> None:
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "é": 1}, unk_token="a"))
    assert Speller(tokenizer, frozenset()).spell(1).data == "é".encode()


def test_a_replaced_space_is_a_space() -> None:
    tokenizer = Tokenizer(models.WordLevel({"_a": 0}, unk_token="_a"))
    tokenizer.decoder = decoders.Metaspace(replacement="_")
    assert Speller(tokenizer, frozenset()).spell(0).data == b" a"


@pytest.fixture(scope="module")
def smollm2(installed_home: Path) -> TextTokenizer:
    return TextTokenizer.from_folder(Garden(installed_home).installed("smollm2-135m-instruct").path)


def test_every_token_of_smollm2_is_spelt_as_llguidance_spells_it(smollm2: TextTokenizer) -> None:
    theirs = LLTokenizer(smollm2.serialized(), eos_token=[2])
    ours = [smollm2.spell(one).data for one in range(theirs.vocab_size)]
    assert ours == [theirs.decode_bytes([one]) for one in range(theirs.vocab_size)]


def test_decoding_leaves_out_what_tokenizers_leaves_out(smollm2: TextTokenizer) -> None:
    tokenizer = Tokenizer.from_str(smollm2.serialized())
    for first in range(0, 49_000, 701):
        ids = [1, *range(first, first + 40), 2, 0, 17]
        assert smollm2.decode(ids) == tokenizer.decode(ids, skip_special_tokens=True)
