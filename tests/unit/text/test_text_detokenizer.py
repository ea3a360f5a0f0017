"""Token by token, the text is what the whole is, and never ends inside a character."""

from __future__ import annotations

from functools import cache

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from deployments.text.detokenizer import Detokenizer
from deployments.text.tokenizer import TextTokenizer

TEXTS = (
    "plain words, and more of them",
    "Grüße aus Zürich – naïve café",
    "你好,世界。日本語の文字と한국어",
    "emoji 🙂 family 👨‍👩‍👧‍👦 flag 🇨🇭 skin 👍🏽",
    "mixed: क्षि ᾧ 𝔘𝔫𝔦 \U0001f9ff\n\ttabs",
    " leading and trailing spaces  ",
)


@cache
def byte_level() -> TextTokenizer:
    """One token per byte, as GPT-2's vocabulary spells bytes."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate(letters)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return TextTokenizer(tokenizer, {}, frozenset())


@cache
def byte_fallback() -> TextTokenizer:
    """Some words as SentencePiece writes them, and a token `<0xNN>` for every other byte."""
    words = ["▁plain", "▁words", "▁", ",", "a", "b", "e", "n", "▁and"]
    names = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), *words]
    vocabulary = {name: number for number, name in enumerate(names)}
    tokenizer = Tokenizer(
        models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>", byte_fallback=True)
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(" "), "merged_with_next"),
            pre_tokenizers.Metaspace(prepend_scheme="always", split=False),
        ]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(content=" ", left=1, right=0),
        ]
    )
    return TextTokenizer(tokenizer, {}, frozenset())


TOKENIZERS = {"byte-level": byte_level, "byte-fallback": byte_fallback}


@pytest.fixture(params=TOKENIZERS)
def tokenizer(request: pytest.FixtureRequest) -> TextTokenizer:
    return TOKENIZERS[request.param]()


@pytest.mark.parametrize("text", TEXTS)
def test_every_prefix_is_a_prefix_of_the_whole_text(tokenizer: TextTokenizer, text: str) -> None:
    ids = tokenizer.encode(text, as_prompt=False)
    whole = tokenizer.decode(ids)
    detokenizer = Detokenizer(tokenizer)
    said = ""
    for one in ids:
        said += detokenizer.push(one)
        assert whole.startswith(said)
    assert said + detokenizer.flush() == whole


@pytest.mark.parametrize("text", TEXTS)
def test_no_character_waits_longer_than_its_last_token(tokenizer: TextTokenizer, text: str) -> None:
    ids = tokenizer.encode(text, as_prompt=False)
    detokenizer = Detokenizer(tokenizer)
    said = ""
    for count, one in enumerate(ids, start=1):
        said += detokenizer.push(one)
        so_far = tokenizer.decode(ids[:count])
        assert said == so_far or "\ufffd" in so_far


def test_an_unfinished_character_is_flushed_as_a_replacement(tokenizer: TextTokenizer) -> None:
    ids = tokenizer.encode("你", as_prompt=False)
    detokenizer = Detokenizer(tokenizer)
    assert [detokenizer.push(one) for one in ids[:-1]].count("") == len(ids) - 1
    assert set(detokenizer.flush()) == {"\ufffd"}


def test_a_character_before_broken_bytes_stays_whole(tokenizer: TextTokenizer) -> None:
    whole, broken = tokenizer.encode("你", as_prompt=False), tokenizer.encode("é", as_prompt=False)
    detokenizer = Detokenizer(tokenizer)
    ids = [*whole, broken[-2], *tokenizer.encode("a", as_prompt=False)]
    said = "".join(detokenizer.push(one) for one in ids) + detokenizer.flush()
    assert said.strip() in ("你\ufffda", "你\ufffd a")


def test_bytes_that_are_never_a_character_do_not_wait_for_ever(tokenizer: TextTokenizer) -> None:
    middle = tokenizer.encode("é", as_prompt=False)[-1]
    detokenizer = Detokenizer(tokenizer)
    said = "".join(detokenizer.push(middle) for _ in range(100))
    assert len(said) > 80
