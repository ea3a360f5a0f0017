"""Low-rank heads: what is learned, what is exported, and that the garden composes the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor
from transformers import BertConfig, BertForPreTraining, BertForTokenClassification, BertModel

from bestiary.errors import ChecksumMismatch
from bestiary.garden.delta import Delta
from training.loop import Plan, train
from zoo.data.code_mentions import Mention, Sentence
from zoo.encoder import minilm
from zoo.encoder.classification import ClassTrainee, Labelled, figures_of
from zoo.encoder.delta_export import export_delta, learned_parameters
from zoo.encoder.pretraining import PretrainingTrainee
from zoo.encoder.sentence_pairs import SentencePair
from zoo.encoder.token_classification import TokenTrainee
from zoo.half_precision import round_learned_to_half

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghij"]
PLAN = Plan(steps=60, learning_rate=1e-2, warmup=5, seed=1, measure_every=60, bfloat16=False)


@pytest.fixture(autouse=True)
def small_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small BERT of six layers in the place where the cache keeps MiniLM."""
    monkeypatch.setenv("BESTIARY_ZOO_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "unpacked" / minilm.MINILM.sha256
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        num_hidden_layers=6,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
    )
    torch.manual_seed(0)
    BertModel(config).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    assert minilm.base_folder() == folder
    return folder


def composed(trainee: PretrainingTrainee | TokenTrainee | ClassTrainee, tmp_path: Path) -> Path:
    """Exported, and composed with the base as an install does it."""
    out, staged = tmp_path / "out", tmp_path / "staged"
    out.mkdir()
    staged.mkdir()
    round_learned_to_half(trainee.model)
    trainee.model.eval()
    export_delta(trainee.model, out)
    Delta(out, minilm.base_folder()).compose(staged)
    return staged


LETTERS = [Labelled(f"{one} {other} a", int(one in "bcd")) for one in "bcdefg" for other in "hij"]


def test_classifier_learns_and_what_is_composed_says_the_same(tmp_path: Path) -> None:
    trainee = ClassTrainee(LETTERS, LETTERS, ("no", "yes"), seed=1)
    state = train(trainee, PLAN, tmp_path / "run", resume=False)
    assert state.history[-1].held_out["accuracy"] == 1.0
    staged = composed(trainee, tmp_path)
    read = type(trainee.model).from_pretrained(staged).eval()
    ids = torch.tensor([[2, 6, 12, 5, 3], [2, 9, 13, 5, 3]])
    with torch.no_grad():
        assert torch.allclose(read(ids).logits, trainee.model(ids).logits, atol=1e-5)
    config = json.loads((staged / "config.json").read_text())
    assert config["id2label"] == {"0": "no", "1": "yes"}
    assert config["architectures"] == ["BertForSequenceClassification"]


def test_base_is_frozen_but_for_what_is_exported(tmp_path: Path, small_base: Path) -> None:
    trainee = ClassTrainee(LETTERS, LETTERS, ("no", "yes"), seed=1)
    before = {name: value.clone() for name, value in trainee.model.state_dict().items()}
    train(trainee, PLAN, tmp_path / "run", resume=False)
    changed = {
        name
        for name, value in trainee.model.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert all("lora_" in name or name.startswith("classifier") for name in changed)
    assert learned_parameters(trainee.model) == sum(
        one.numel() for one in trainee.model.parameters() if one.requires_grad
    )


def test_spans_are_learned_and_counted(tmp_path: Path) -> None:
    sentences = [
        Sentence(f"a {name} b {other}", (Mention(2, 3, kind),))
        for name, kind in (("c", "class"), ("d", "function"), ("e", "code"))
        for other in "fghij"
    ]
    trainee = TokenTrainee(sentences, sentences, seed=1)
    first = trainee.figures(trainee.held_out)
    assert first.spans == len(sentences)
    assert first.f1["all"] < 0.5
    train(trainee, PLAN, tmp_path / "run", resume=False)
    found = trainee.figures(trainee.held_out)
    assert found.token_accuracy == 1.0
    assert found.f1["all"] == found.f1["any kind"] == found.f1["function"] == 1.0
    read = BertForTokenClassification.from_pretrained(composed(trainee, tmp_path))
    assert read.config.id2label[1] == "B-class"


PAIRS = [
    SentencePair(f"a b c {one}", f"{'d' if near else 'j'} e f g", near)
    for one in "ghi"
    for near in (True, False) * 4
]


def test_pretraining_learns_both_and_composes_with_its_tied_decoder(tmp_path: Path) -> None:
    trainee = PretrainingTrainee(PAIRS, {"all": PAIRS}, seed=1)
    plan = Plan(steps=150, learning_rate=1e-2, warmup=5, seed=1, measure_every=150, bfloat16=False)
    train(trainee, plan, tmp_path / "run", resume=False)
    found = trainee.figures(trainee.held_out["all"])
    assert found.next_sentence > 0.8
    assert found.top_1 > 0.5
    assert found.top_5 >= found.top_1
    staged = composed(trainee, tmp_path)
    read, told = BertForPreTraining.from_pretrained(staged, output_loading_info=True)
    assert not told["unexpected_keys"]
    assert logits(read).allclose(logits(trainee.model), atol=1e-4)


def logits(model: BertForPreTraining) -> Tensor:
    with torch.no_grad():
        found: Tensor = model.eval()(torch.tensor([[2, 5, 4, 7, 3]])).prediction_logits
    return found


def test_checkpoint_of_a_head_resumes_to_the_same(tmp_path: Path) -> None:
    whole, resumed = (ClassTrainee(LETTERS, LETTERS, ("no", "yes"), seed=1) for _ in range(2))
    train(whole, PLAN, tmp_path / "whole", resume=False)
    first = ClassTrainee(LETTERS, LETTERS, ("no", "yes"), seed=1)
    train(first, PLAN, tmp_path / "parts", resume=False, until=17)
    train(resumed, PLAN, tmp_path / "parts", resume=True)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


def test_figures_of_a_confusion_are_the_textbooks() -> None:
    found = figures_of([0, 0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 1, 0, 1], classes=2)
    assert found.confusion == ((2, 1), (1, 3))
    assert (found.precision, found.recall, found.f1) == pytest.approx((0.75, 0.75, 0.75))
    assert found.accuracy == pytest.approx(5 / 7)


def test_delta_keeps_fp16_and_names_its_base(tmp_path: Path) -> None:
    trainee = ClassTrainee(LETTERS, LETTERS, ("no", "yes"), seed=1)
    export_delta(trainee.model, tmp_path)
    size = (tmp_path / "delta.safetensors").stat().st_size
    assert size < 2.5 * learned_parameters(trainee.model) + 8000
    save_file({"x": torch.zeros(1)}, minilm.base_folder() / "model.safetensors")
    staged = tmp_path / "staged"
    staged.mkdir()
    with pytest.raises(ChecksumMismatch):
        Delta(tmp_path, minilm.base_folder()).compose(staged)
