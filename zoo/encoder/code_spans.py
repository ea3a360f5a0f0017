"""Which words of technical English are code? The sentences apart, and the export."""

from __future__ import annotations

from pathlib import Path

from training.loop import State
from zoo.data.code_mentions import Sentence, sentences
from zoo.data.docstrings import docstrings, licences
from zoo.data.held_out import split
from zoo.data.packages import MINILM
from zoo.encoder.delta_export import LICENSE, export_delta, learned_parameters
from zoo.encoder.token_classification import ANY, TokenTrainee
from zoo.half_precision import round_learned_to_half
from zoo.model_page import Page, Table, write_page

SHARE, SPLIT_SEED = 0.08, 19
SEED, STEPS = 7, 550


class CodeSpans(TokenTrainee):
    def export(self, folder: Path, state: State) -> None:
        round_learned_to_half(self.model)
        export_delta(self.model, folder)
        found = self.figures(self.held_out)
        f1 = tuple((kind, value) for kind, value in found.f1.items())
        page = Page(
            model="minilm-code-spans",
            title="Code names in technical English, on all-MiniLM-L6-v2",
            summary=(
                "Finds the names of classes and functions, and other code, in English sentences"
                " that carry no markup: spans labelled `class`, `function` and `code`. The labels"
                " are those that the authors of docstrings gave themselves (Sphinx roles and double"
                " backticks). Authors often mark a class only as code, so kinds are confused more"
                f" than spans are missed: the row `{ANY}` counts spans alone. The base reads lower"
                " case only and cannot see CamelCase."
            ),
            license=LICENSE,
            packages=(MINILM,),
            other_sources=(f"Docstrings of installed packages: {'; '.join(licences())}",),
            held_out=(
                f"{found.sentences} sentences with {found.spans} spans, by the hash of their text;"
                " nothing whose words are three quarters the same was trained on. A span counts"
                " where its first and last token are right."
                f" Tokens right: {found.token_accuracy:.4f}."
            ),
            tables=(Table("F1 of spans.", ("kind", "F1"), f1),),
            parameters=learned_parameters(self.model),
            planned_steps=STEPS,
            seed=SEED,
        )
        write_page(page, state, folder)


def code_spans(seed: int) -> CodeSpans:
    training, held_out = apart(sentences(docstrings()))
    return CodeSpans(training, held_out, seed)


def apart(found: list[Sentence]) -> tuple[list[Sentence], list[Sentence]]:
    """To train on and held out; one sentence without marks for two with them, at most."""
    marked = [one for one in found if one.mentions]
    plain = [one for one in found if not one.mentions]
    both = marked + plain[:: max(1, 2 * len(plain) // len(marked))]
    return split(both, lambda sentence: (sentence.text,), SHARE, SPLIT_SEED)
