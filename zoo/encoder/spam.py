"""Is an e-mail spam? The corpus apart, and the export of what was trained on it."""

from __future__ import annotations

from pathlib import Path

from training.loop import State
from zoo.data.emails import Email, emails
from zoo.data.held_out import split
from zoo.data.packages import MINILM, SPAM_ASSASSIN
from zoo.encoder.classification import MAX_TOKENS, ClassTrainee, Labelled
from zoo.encoder.delta_export import LICENSE, export_delta, learned_parameters
from zoo.half_precision import round_learned_to_half
from zoo.model_page import Page, Table, write_page

LABELS = ("ham", "spam")
SHARE, SPLIT_SEED = 0.15, 17
READ = 1500  # characters of a text; what the model sees is shorter still
SEED, STEPS = 5, 400


class Spam(ClassTrainee):
    def export(self, folder: Path, state: State) -> None:
        round_learned_to_half(self.model)
        export_delta(self.model, folder)
        found = self.figures()
        page = Page(
            model="minilm-spam",
            title="A spam filter on all-MiniLM-L6-v2",
            summary=(
                "Tells unwanted bulk e-mail from wanted: labels `ham` and `spam`. Give it the"
                f" subject, a line break and the body; it reads the first {MAX_TOKENS} tokens and"
                " never the headers. The corpus is of 2002 and 2003 and English: the spam of today"
                " looks different."
            ),
            license=LICENSE,
            packages=(MINILM, SPAM_ASSASSIN),
            other_sources=(),
            held_out=(
                f"{len(self.held_out)} e-mails by the hash of their text; nothing whose words are"
                " three quarters the same was trained on."
            ),
            tables=(
                Table(
                    "Spam is the class that precision, recall and F1 are of.",
                    ("e-mails", "accuracy", "precision", "recall", "F1"),
                    (
                        (
                            len(self.held_out),
                            found.accuracy,
                            found.precision,
                            found.recall,
                            found.f1,
                        ),
                    ),
                    digits=4,
                ),
                Table(
                    "Confusion.",
                    ("", *(f"said {label}" for label in LABELS)),
                    tuple(
                        (f"is {label}", *row)
                        for label, row in zip(LABELS, found.confusion, strict=True)
                    ),
                ),
            ),
            parameters=learned_parameters(self.model),
            planned_steps=STEPS,
            seed=SEED,
        )
        write_page(page, state, folder)


def spam(seed: int) -> Spam:
    training, held_out = apart(emails())
    return Spam(training, held_out, LABELS, seed)


def apart(found: list[Email]) -> tuple[list[Labelled], list[Labelled]]:
    """To train on and held out. Spammers send one text many times: see `held_out.split`."""
    texts = [Labelled(one.text[:READ], int(one.spam)) for one in found]
    return split(texts, lambda labelled: (labelled.text,), SHARE, SPLIT_SEED)
