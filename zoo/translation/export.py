"""A translator as a recipe wants it: data and model ready, and its export with its figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from matplotlib.figure import Figure
from tokenizers import Tokenizer

from bestiary.garden.hf_folder import HfFolder
from training.loop import State
from zoo.data.parallel_texts import LANGUAGES, PACKAGES, Pair
from zoo.half_precision import round_to_half
from zoo.model_page import Page, Table, write_page
from zoo.translation.corpus import SHARE, Corpus, corpus
from zoo.translation.plan import SEED, STEPS
from zoo.translation.scoring import LENGTHS, Score, length_of, scores_by
from zoo.translation.tokenizer import language_token, save_tokenizer, train_tokenizer
from zoo.translation.trainees import (
    MarianTrainee,
    RecurrentTrainee,
    TranslatorTrainee,
    marian_model,
    recurrent_model,
)

LICENSE = (
    "Apache-2.0 for the weights. The texts that they were trained on keep the licences above;"
    " their authors and translators are named there."
)
CAVEAT = (
    "A teaching model, trained for minutes on interface strings, emoji names and, for French,"
    " verses: it translates texts like those and little else. It is here to be compared: the same"
    " data, tokenizer, batches and number of steps made `translator-gru-attention`,"
    " `translator-gru` and `translator-transformer`. Write the target language in front of the"
    " text: `<fr> Turn on the light.`; the engine does it for requests that name a target."
)


class RecurrentTranslator(RecurrentTrainee):
    def export(self, folder: Path, state: State) -> None:
        round_to_half(self.model)
        self.model.save_pretrained(folder, torch.float16)
        save_tokenizer(self.tokenizer, folder, LANGUAGES)
        _name_tasks(folder)
        name = "translator-gru-attention" if self.model.config.attention else "translator-gru"
        title = "GRU encoder-decoder, " + (
            "with Bahdanau's attention" if self.model.config.attention else "without attention"
        )
        _write(self, name, title, state, folder)


class MarianTranslator(MarianTrainee):
    def export(self, folder: Path, state: State) -> None:
        round_to_half(self.model)
        self.model.half().save_pretrained(folder, safe_serialization=True)
        self.model.float()
        save_tokenizer(self.tokenizer, folder, LANGUAGES)
        _name_tasks(folder)
        _write(self, "translator-transformer", "A small Transformer translator", state, folder)


def recurrent_translator(*, attention: bool, seed: int) -> RecurrentTranslator:
    found, tokenizer = prepared()
    model = recurrent_model(tokenizer.get_vocab_size(), attention=attention, seed=seed)
    return RecurrentTranslator(model, tokenizer, found, seed)


def marian_translator(*, seed: int) -> MarianTranslator:
    found, tokenizer = prepared()
    model = marian_model(tokenizer.get_vocab_size(), seed=seed)
    return MarianTranslator(model, tokenizer, found, seed)


def prepared() -> tuple[Corpus, Tokenizer]:
    found = corpus()
    texts = (text for pair in found.training for text in (pair.source, pair.target))
    return found, train_tokenizer(texts, LANGUAGES)


def _write(trainee: TranslatorTrainee, name: str, title: str, state: State, folder: Path) -> None:
    pairs = trainee.corpus.held_out
    outputs = trainee.translate(pairs)
    lengths = by_length(pairs, outputs)
    draw_lengths({title: lengths}, folder / "bleu_by_length.png")
    samples = [
        {"source": pair.source, "language": pair.language, "reference": pair.target, "output": out}
        for pair, out in list(zip(pairs, outputs, strict=True))[:: max(1, len(pairs) // 40)]
    ]
    text = json.dumps(samples, indent=1, ensure_ascii=False)
    (folder / "samples.json").write_text(text + "\n", "utf-8")
    page = Page(
        model=name,
        title=f"{title}: English to French and German",
        summary=CAVEAT,
        license=LICENSE,
        packages=PACKAGES,
        other_sources=(
            "Verses are English to French only (King James, Segond 1910): the package has no"
            " German edition that is surely in the public domain everywhere.",
        ),
        held_out=(
            f"{len(pairs)} pairs, {SHARE:.0%} of the sources by their hash, the same in both"
            " languages; nothing whose words are three quarters the same, source or target, was"
            " trained on. Greedy decoding. BLEU and chrF are sacreBLEU's; short texts make BLEU"
            " a rough measure, chrF less so."
        ),
        tables=(
            _table("By target language.", scores_by(pairs, outputs, lambda one: one.language)),
            _table(
                "By language and domain.",
                scores_by(pairs, outputs, lambda one: f"{one.language} {one.domain}"),
            ),
            _table("By words of the source, French.", lengths),
        ),
        parameters=HfFolder(folder).parameters,
        planned_steps=STEPS,
        seed=SEED,
    )
    write_page(page, state, folder)


def _name_tasks(folder: Path) -> None:
    """Into `config.json`, what to put in front of a source for each target language; in the
    place where T5's like keep it, which the engine reads."""
    path = folder / "config.json"
    config = json.loads(path.read_text("utf-8"))
    config["task_specific_params"] = {
        f"translation_en_to_{language}": {"prefix": f"{language_token(language)} "}
        for language in LANGUAGES
    }
    path.write_text(json.dumps(config, indent=2) + "\n", "utf-8")


def by_length(pairs: Sequence[Pair], outputs: Sequence[str]) -> dict[str, Score]:
    """French only: it alone has long texts."""
    places = [place for place, pair in enumerate(pairs) if pair.language == "fr"]
    found = scores_by([pairs[at] for at in places], [outputs[at] for at in places], length_of)
    names = [f"{low}-{high}" for low, high in LENGTHS]
    return {name: found[name] for name in names if name in found}


def draw_lengths(curves: dict[str, dict[str, Score]], path: Path) -> None:
    """BLEU over the words of the source, a line per model."""
    figure = Figure(figsize=(7, 4), dpi=110, layout="constrained")
    axis = figure.subplots()
    for name, scores in curves.items():
        axis.plot(list(scores), [one.bleu for one in scores.values()], marker="o", label=name)
    axis.set_xlabel("words of the English source")
    axis.set_ylabel("BLEU, English to French")
    axis.set_ylim(bottom=0)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    figure.savefig(path)


def _table(caption: str, scores: dict[str, Score]) -> Table:
    rows = tuple((name, one.bleu, one.chrf, one.pairs) for name, one in scores.items())
    return Table(caption, ("", "BLEU", "chrF", "pairs"), rows, digits=1)
