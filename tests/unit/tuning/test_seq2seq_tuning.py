"""Encoder-decoders, small: what is learned, the way back, and that a replica writes the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from torch import nn
from transformers import MarianConfig, MarianMTModel

from bestiary.errors import InvalidRequest
from bestiary.garden import Garden, InstalledModel
from bestiary.garden.tasks import Task
from bestiary.garden.tuned_card import TunedFrom
from bestiary.profile.models import Seq2SeqEngine as EngineOptions
from bestiary.schemas.seq2seq import Decoding, Seq2SeqRequest
from bestiary.schemas.tuning import Method
from deployments.seq2seq.opening import service_of
from deployments.turn_loop import LoopLimits
from services.tuning.data.examples import Completion, Translation
from services.tuning.trainers.seq2seq.opening import TUNERS
from services.tuning.trainers.tuner import Assignment, Tuner
from tests.unit.kernels import small_seq2seqs as small
from tests.unit.tuning.small_assignments import assignment, installed, trained

SPECIALS = ("<pad>", "<s>", "</s>", "<fr>", "<de>", "<unk>")
ENGLISH = ("one", "two", "three", "light", "door", "window")
FRENCH = ("un", "deux", "trois", "lampe", "porte", "carreau")
GERMAN = ("ein", "zwei", "drei", "Licht", "Tor", "Fenster")
VOCABULARY = (*SPECIALS, *ENGLISH, *FRENCH, *GERMAN, "title", ":")
PREFIXES = {
    "translation_en_to_fr": {"prefix": "<fr> "},
    "translation_en_to_de": {"prefix": "<de> "},
    "summarization": {"prefix": "title : "},
}
TRANSLATOR = {"tasks": (Task.TRANSLATE,), "languages": ("en-fr", "en-de")}

PAIRS = [
    Translation(f"{ENGLISH[a]} {ENGLISH[b]}", f"{words[a]} {words[b]}", "en", language)
    for a in range(3)
    for b in range(3, 6)
    for language, words in (("fr", FRENCH), ("de", GERMAN))
]
TITLES = [Completion(one.source, one.target) for one in PAIRS if one.target_language == "de"]


def save_words(folder: Path, end: int) -> None:
    """One token a word; the end token behind, at the place where the model expects it."""
    numbers = {word: place for place, word in enumerate(VOCABULARY)}
    assert numbers["</s>"] == end
    tokenizer = Tokenizer(WordLevel(numbers, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", end)])
    tokenizer.add_special_tokens(list(SPECIALS))
    tokenizer.enable_truncation(3)  # which has to be switched off
    tokenizer.save(str(folder / "tokenizer.json"))


def saved(make: Callable[[Path], Any], folder: Path) -> Path:
    """A small model whose special tokens are the tokenizer's, with prefixes in its config."""
    make(folder)
    config = json.loads((folder / "config.json").read_text())
    tokens = {"pad_token_id": 0, "eos_token_id": 2, "bos_token_id": 1}
    if config["model_type"] != "recurrent-seq2seq":
        tokens["decoder_start_token_id"] = 0
        (folder / "generation_config.json").write_text(json.dumps(tokens))
    if config["model_type"] == "t5":
        tokens["n_positions"] = small.LONGEST
    config |= tokens | {"task_specific_params": PREFIXES}
    (folder / "config.json").write_text(json.dumps(config))
    save_words(folder, 2)
    return folder


def tuner_of(
    base: InstalledModel, examples: list[Translation] | list[Completion], **options: object
) -> tuple[Tuner, Assignment]:
    work = assignment(base, Method.SEQUENCE_TO_SEQUENCE, examples, examples, **options)  # type: ignore[arg-type]
    return TUNERS[Method.SEQUENCE_TO_SEQUENCE](work), work


def added(tuner: Tuner, base: InstalledModel, home: Path, folder: Path) -> InstalledModel:
    """Saved, and in the garden as publishing puts it there."""
    tuner.save(folder)
    made = TunedFrom(base.card, title="Tuned", description="", provenance="a test")
    card = Garden(home).add(folder, card_id="ft:small-base:tuned:1", tuned_from=made)
    return Garden(home).installed(card.id)


async def written(model: InstalledModel, target: Path, request: Seq2SeqRequest) -> list[str]:
    """By a replica's service."""
    service = service_of(
        model, small.opened(model.path, target), EngineOptions(slots=32), LoopLimits(0.001, 64)
    )
    service.start()
    try:
        found = await service.generate(request)
    finally:
        await service.stop()
    return [one.text for one in found.outputs]


def french() -> Seq2SeqRequest:
    pairs = [one for one in PAIRS if one.target_language == "fr"]
    return Seq2SeqRequest(
        request_id="r",
        task="translate",
        inputs=tuple(one.source for one in pairs),
        target_language="fr",
        decoding=Decoding(temperature=0.0, num_beams=1),
    )


def learning_marian(folder: Path) -> None:
    """As the zoo's is begun: embeddings, scaled, are as large as positions."""
    torch.manual_seed(0)
    shape = small.POST_NORM | {"encoder_layers": 1, "decoder_layers": 1, "dropout": 0.0}
    tokens = {"pad_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 0}
    config = MarianConfig(**shape, **tokens, scale_embedding=True, init_std=0.125)
    MarianMTModel(config).save_pretrained(folder)


TRANSLATORS: dict[str, Callable[[Path], object]] = {
    "attention": small.recurrent,
    "no attention": lambda folder: small.recurrent(folder, attention=False),
    "marian": learning_marian,
}


@pytest.mark.parametrize("name", list(TRANSLATORS))
async def test_translator_learns_by_heart_and_a_replica_translates_so(
    name: str, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    base = installed(saved(TRANSLATORS[name], tmp_path / "base"), home, **TRANSLATOR)
    tuner, work = tuner_of(base, PAIRS, steps=100)
    before = tuner.evaluate()
    assert before["exact_match"] == 0
    trained(tuner, work, tmp_path / "run")
    figures = tuner.evaluate()
    assert figures["loss"] < before["loss"]
    assert figures["exact_match"] == figures["rouge_l"] == 1.0
    assert [figures["chrf"], figures["bleu"]] == pytest.approx([100, 100])
    with tuner.as_base():
        assert tuner.evaluate() == before
    assert tuner.evaluate() == figures
    model = added(tuner, base, home, tmp_path / "out")
    assert model.card.languages == ("en-fr", "en-de")
    expected = [one.target for one in PAIRS if one.target_language == "fr"]
    assert await written(model, tmp_path / "build", french()) == expected


@pytest.mark.parametrize(("make", "full"), [(small.t5, True), (small.gated_t5, False)])
async def test_t5_learns_and_a_replica_writes_the_same(
    make: Callable[[Path], nn.Module], full: bool, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    base = installed(saved(make, tmp_path / "base"), home, tasks=(Task.SUMMARIZE,))
    tuner, work = tuner_of(base, TITLES, steps=30, full=full)
    before = tuner.evaluate()
    trained(tuner, work, tmp_path / "run")
    figures = tuner.evaluate()
    assert figures["loss"] < before["loss"]
    with tuner.as_base():
        assert tuner.evaluate() == before
    model = added(tuner, base, home, tmp_path / "out")
    request = Seq2SeqRequest(
        request_id="r",
        task="summarize",
        inputs=tuple(one.prompt for one in TITLES),
        decoding=Decoding(temperature=0.0, num_beams=1, max_tokens=8),
    )
    served = await written(model, tmp_path / "build", request)
    learner: Any = tuner.trainee
    outputs = learner.write(learner._written)
    assert [text.split()[:2] for text in served] == [text.split()[:2] for text in outputs]
    assert len(set(served)) > 1


def test_low_rank_changes_of_t5_leave_its_embeddings_alone(tmp_path: Path) -> None:
    folder = saved(small.gated_t5, tmp_path / "base")
    base = installed(folder, tmp_path / "home", tasks=(Task.SUMMARIZE,))
    tuner, work = tuner_of(base, TITLES, steps=2)
    names = [name for name, one in tuner.trainee.model.named_parameters() if one.requires_grad]
    assert all("lora_" in name for name in names)
    assert not any("lm_head" in name for name in names)
    trained(tuner, work, tmp_path / "run")
    tuner.save(tmp_path / "out")
    first, last = (
        small.T5ForConditionalGeneration.from_pretrained(one).state_dict()
        for one in (base.path, tmp_path / "out")
    )
    assert torch.equal(first["shared.weight"], last["shared.weight"])
    changed = "encoder.block.0.layer.0.SelfAttention.q.weight"
    assert not torch.equal(first[changed], last[changed])


def test_killed_job_ends_in_the_weights_of_one_that_was_not(tmp_path: Path) -> None:
    folder = saved(small.recurrent, tmp_path / "base")
    base = installed(folder, tmp_path / "home", **TRANSLATOR)
    tuners = [tuner_of(base, PAIRS, steps=8) for _ in range(3)]
    (whole, work), (first, _), (second, _) = tuners
    trained(whole, work, tmp_path / "whole")
    trained(first, work, tmp_path / "parts", until=3)
    trained(second, work, tmp_path / "parts", resume=True)
    for name, value in whole.trainee.model.state_dict().items():
        assert torch.equal(value, second.trainee.model.state_dict()[name]), name


def test_config_and_prefixes_stay_the_bases(tmp_path: Path) -> None:
    base = installed(saved(small.marian, tmp_path / "base"), tmp_path / "home", **TRANSLATOR)
    tuner, _ = tuner_of(base, PAIRS)
    tuner.save(tmp_path / "out")
    first, last = (
        json.loads((one / "config.json").read_text()) for one in (base.path, tmp_path / "out")
    )
    assert last == first | {"dtype": "float32"}


def test_tokens_are_those_of_targets_and_both_sides_are_cut(tmp_path: Path) -> None:
    base = installed(saved(small.recurrent, tmp_path / "base"), tmp_path / "home", **TRANSLATOR)
    long = [Translation("one " * 40, "un " * 40, "en", "fr")] * 12
    tuner, _ = tuner_of(base, long, max_tokens=10)
    assert tuner.tokens_in(0) == 12 * 10
    learner: Any = tuner.trainee
    assert learner._training[0].source[-1] == 2
    assert learner._training[0].source[0] == VOCABULARY.index("<fr>")
    assert learner._training[0].target[-1] != 2


@pytest.mark.parametrize(
    ("example", "reason"),
    [
        (Translation("one", "uno", "en", "es"), "does not translate from en to es; it has: en-fr"),
        (Translation("one", "un"), "must say its target_language"),
        (Completion("one", "un"), "must say its target_language"),
    ],
)
def test_languages_that_the_base_does_not_have_are_refused(
    example: Translation | Completion, reason: str, tmp_path: Path
) -> None:
    base = installed(saved(small.recurrent, tmp_path / "base"), tmp_path / "home", **TRANSLATOR)
    with pytest.raises(InvalidRequest, match=reason):
        tuner_of(base, [example])  # type: ignore[list-item]


def test_base_with_a_sentencepiece_file_for_each_side_is_refused(tmp_path: Path) -> None:
    folder = saved(small.marian, tmp_path / "base")
    base = installed(folder, tmp_path / "home", **TRANSLATOR)
    (base.path / "tokenizer.json").unlink()
    with pytest.raises(InvalidRequest, match="SentencePiece"):
        tuner_of(base, PAIRS)
