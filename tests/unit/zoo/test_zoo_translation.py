"""The translators' tokenizer, examples, split and scores, and that small ones learn."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from transformers import MarianMTModel

from training.architectures.recurrent_seq2seq import RecurrentSeq2Seq
from training.loop import Plan, State, train
from training.padding import IGNORED
from training.seq2seq_batches import collate
from zoo.data.parallel_texts import LANGUAGES, Pair
from zoo.translation.corpus import Corpus, split
from zoo.translation.export import MarianTranslator, RecurrentTranslator
from zoo.translation.scoring import length_of, score, scores_by
from zoo.translation.tokenizer import END_ID, PAD_ID, save_tokenizer, train_tokenizer
from zoo.translation.trainees import encode, marian_model, recurrent_model

NUMBERS = (("one", "un", "eins"), ("two", "deux", "zwei"), ("three", "trois", "drei"))
THINGS = (("light", "lampe", "Licht"), ("door", "porte", "Tor"), ("window", "fenêtre", "Fenster"))
PAIRS = [
    Pair(f"{a[0]} {b[0]}", f"{a[place]} {b[place]}", language, "ui")
    for a in NUMBERS
    for b in THINGS
    for place, language in ((1, "fr"), (2, "de"))
]
CORPUS = Corpus(tuple(PAIRS), tuple(PAIRS))


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    texts = [text for pair in PAIRS for text in (pair.source, pair.target)]
    return train_tokenizer(texts, LANGUAGES)


def test_tokenizer_gives_texts_back_whatever_their_letters(tokenizer: Tokenizer) -> None:
    for text in ("fenêtre Größe", "🦊 日本", "a  b"):
        assert tokenizer.decode(tokenizer.encode(text).ids).strip() == text


def test_same_texts_make_the_same_tokenizer(tokenizer: Tokenizer) -> None:
    texts = [text for pair in PAIRS for text in (pair.source, pair.target)]
    assert train_tokenizer(texts, LANGUAGES).to_str() == tokenizer.to_str()


def test_source_begins_with_its_target_language_and_both_end(tokenizer: Tokenizer) -> None:
    french, german = encode(tokenizer, PAIRS[:2])
    assert french.source[0] == tokenizer.token_to_id("<fr>")
    assert german.source[0] == tokenizer.token_to_id("<de>")
    assert french.source[1:] == german.source[1:]
    assert french.source[-1] == french.target[-1] == END_ID


def test_engine_prefix_gives_the_ids_that_were_trained_on(tokenizer: Tokenizer) -> None:
    (example,) = encode(tokenizer, PAIRS[:1])
    assert tuple(tokenizer.encode(f"<fr> {PAIRS[0].source}").ids) == example.source


def test_saved_tokenizer_is_the_same(tokenizer: Tokenizer, tmp_path: Path) -> None:
    save_tokenizer(tokenizer, tmp_path, LANGUAGES)
    read = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert read.encode("<de> two doors").ids == tokenizer.encode("<de> two doors").ids


def test_padding_is_neither_read_nor_learned(tokenizer: Tokenizer) -> None:
    batch = collate(
        encode(tokenizer, [PAIRS[0], Pair("window " * 9, "porte " * 9, "fr", "ui")]), PAD_ID
    )
    row = int(batch.lengths[0])
    assert (batch.sources[0, row:] == PAD_ID).all()
    assert (batch.labels[0] == IGNORED).any()
    assert not (batch.labels[1] == IGNORED).any()


def test_source_is_held_out_in_all_languages_or_in_none() -> None:
    words = [f"{first}{second}" for first in "abcdefghij" for second in "klmnopqrst"]
    found = [
        Pair(f"the {a} of {b}", f"{language} {a} {b}", language, "ui")
        for a in words[::4]
        for b in words[::5]
        for language in LANGUAGES
    ]
    parts = split(found)
    assert parts.held_out
    held_out = {pair.source for pair in parts.held_out}
    assert not held_out & {pair.source for pair in parts.training}
    assert len(parts.held_out) == 2 * len(held_out)


def test_scores_are_perfect_for_the_references_and_low_for_others() -> None:
    pairs = [Pair("the light of the house is on", "la lampe de la maison est allumée", "fr", "ui")]
    assert score(pairs, [pairs[0].target]).bleu == pytest.approx(100)
    assert score(pairs, ["rien du tout"]).chrf < 20


def test_scores_are_kept_apart_by_key() -> None:
    outputs = [pair.target if pair.language == "fr" else "nein" for pair in PAIRS]
    found = scores_by(PAIRS, outputs, lambda pair: pair.language)
    assert found["fr"].chrf == pytest.approx(100)
    assert found["de"].chrf < 30
    assert found["fr"].pairs == found["de"].pairs == 9


def test_length_is_the_sources_words() -> None:
    assert length_of(PAIRS[0]) == "1-3"
    assert length_of(Pair("w " * 25, "x", "fr", "ui")) == "22-25"


PLAN = Plan(steps=120, learning_rate=1e-3, warmup=10, seed=1, measure_every=60, checkpoint_every=60)


@pytest.mark.parametrize("attention", [True, False])
def test_recurrent_translator_learns_by_heart_and_exports_what_it_learned(
    tokenizer: Tokenizer, tmp_path: Path, attention: bool
) -> None:
    model = recurrent_model(tokenizer.get_vocab_size(), attention=attention, seed=1)
    trainee = RecurrentTranslator(model, tokenizer, CORPUS, seed=1)
    state = train(trainee, PLAN, tmp_path / "run", resume=False)
    out = tmp_path / "out"
    out.mkdir()
    trainee.export(out, state)
    read = RecurrentTranslator(RecurrentSeq2Seq.from_pretrained(out), tokenizer, CORPUS, seed=1)
    outputs = read.translate(PAIRS)
    assert outputs == trainee.translate(PAIRS)
    assert sum(a == b.target for a, b in zip(outputs, PAIRS, strict=True)) >= 14
    figures = json.loads((out / "figures.json").read_text())
    assert figures["steps"] == 120
    assert (out / "bleu_by_length.png").exists()


def test_marian_translator_learns_by_heart_and_exports_what_it_learned(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model = marian_model(tokenizer.get_vocab_size(), seed=1)
    trainee = MarianTranslator(model, tokenizer, CORPUS, seed=1)
    trainee.export(tmp_path, train(trainee, PLAN, tmp_path / "run", resume=False))
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["architectures"] == ["MarianMTModel"]
    assert config["task_specific_params"]["translation_en_to_de"] == {"prefix": "<de> "}
    read = MarianMTModel.from_pretrained(tmp_path, dtype=torch.float32)
    outputs = MarianTranslator(read, tokenizer, CORPUS, seed=1).translate(PAIRS)
    assert outputs == trainee.translate(PAIRS)
    assert sum(a == b.target for a, b in zip(outputs, PAIRS, strict=True)) >= 14


def test_page_of_an_unfinished_run_says_so(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = recurrent_model(tokenizer.get_vocab_size(), attention=True, seed=1)
    RecurrentTranslator(model, tokenizer, CORPUS, seed=1).export(tmp_path, State(step=7))
    assert "7 steps of the" in (tmp_path / "README.md").read_text()
