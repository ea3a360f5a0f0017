"""The MLM and NSP heads as a recipe wants them: text and model ready, and their export."""

from __future__ import annotations

from pathlib import Path

from training.loop import State
from zoo.data.docstrings import licences
from zoo.data.packages import BIBLES, MINILM, SPAM_ASSASSIN
from zoo.encoder.delta_export import LICENSE, export_delta, learned_parameters
from zoo.encoder.pretraining import PretrainingTrainee
from zoo.encoder.pretraining_text import texts
from zoo.half_precision import round_learned_to_half
from zoo.model_page import Page, Table, write_page

SEED, STEPS = 3, 1300


class Pretraining(PretrainingTrainee):
    def export(self, folder: Path, state: State) -> None:
        round_learned_to_half(self.model)
        export_delta(self.model, folder)
        found = {name: self.figures(examples) for name, examples in self.held_out.items()}
        rows = tuple(
            (name, one.top_1, one.top_5, one.masked_tokens, one.next_sentence, one.pairs)
            for name, one in found.items()
        )
        header = ("text", "masked top 1", "masked top 5", "masked tokens", "next sentence", "pairs")
        page = Page(
            model="minilm-pretraining",
            title="all-MiniLM-L6-v2 that fills masks and judges next sentences",
            summary=(
                "A masked language model head (tied to the embeddings) and a next sentence head"
                " over all-MiniLM-L6-v2, whose layers got low-rank changes. Trained for minutes on"
                " technical English and the King James Version: guesses from other fields are"
                " weak, as the row of e-mails shows. Its body is not the one that embeds: use"
                " all-minilm-l6-v2 for embeddings."
            ),
            license=LICENSE,
            packages=(MINILM, BIBLES, SPAM_ASSASSIN),
            other_sources=(f"Docstrings of installed packages: {'; '.join(licences())}",),
            held_out=(
                "Whole documents by their hash; no sentence that was trained on is nearly one of"
                " theirs. 15% of the tokens are chosen (80/10/10); the figures are over those that"
                " became [MASK]. Half of the second sentences follow their first ones, so"
                " guessing gives 0.5. E-mails are a domain that was never trained on."
            ),
            tables=(Table("By domain.", header, rows),),
            parameters=learned_parameters(self.model),
            planned_steps=STEPS,
            seed=SEED,
        )
        write_page(page, state, folder)


def pretraining(seed: int) -> Pretraining:
    training, held_out = texts(seed)
    return Pretraining(training, held_out, seed)
