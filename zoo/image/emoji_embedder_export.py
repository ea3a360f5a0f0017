"""`emoji-embedder` as a recipe wants it: data and network ready, the export with its figures."""

from __future__ import annotations

from pathlib import Path

import torch

from training.loop import State
from zoo.data.captions import title_of
from zoo.data.emoji import PACKAGES, emoji, said_of, scaled, small
from zoo.data.packages import MINILM
from zoo.half_precision import round_to_half
from zoo.image.emoji_embedder import AMONG, EmbedderTrainee, embedded
from zoo.image.prompt_states import PromptEncoder
from zoo.image.saving import LICENSE, parameters_of, write_grid
from zoo.model_page import Page, Shown, Table, write_page

SEED, STEPS = 17, 1500
QUERIES = ("something to eat", "an animal", "an angry face", "a vehicle", "love", "a musician")
FOUND = 8  # pictures of each query


class EmojiEmbedder(EmbedderTrainee):
    def export(self, folder: Path, state: State) -> None:
        round_to_half(self.model)
        self.model.save_pretrained(folder, torch.float16)
        self._draw(folder)
        page = Page(
            model="emoji-embedder",
            title="Emoji and words in one space",
            summary=(
                "Puts a 32x32 picture into the space of all-MiniLM-L6-v2's sentence vectors, near"
                " what one would call it. It judges the zoo's image models: which of several"
                " pictures shows a prompt best, and how far generated pictures are from drawn"
                " ones. It has seen emoji only."
            ),
            license=LICENSE,
            packages=(*PACKAGES, MINILM),
            other_sources=(),
            held_out=(
                f"{said_of(self.held_out.pictures)} by the hash of the code points without skin"
                f" tone and gender; {said_of(self.training.pictures)} to train on. Retrieval: the"
                f" share of pictures (without skin tones) whose own name is the nearest of {AMONG},"
                " the others drawn from the same side's names."
            ),
            tables=(
                Table(
                    f"The right one among {AMONG} names (guessing: {1 / AMONG:.2f}).",
                    ("pictures", "retrieval"),
                    (
                        ("real emoji, held out", self.retrieval(held_out=True)),
                        ("real emoji, trained on", self.retrieval(held_out=False)),
                    ),
                ),
            ),
            parameters=parameters_of(self.model),
            planned_steps=STEPS,
            seed=SEED,
            headline={"retrieval_among_20": self.retrieval(held_out=True)},
            shown=(Shown("samples.png", "The nearest held-out emoji to words, a row each"),),
        )
        write_page(page, state, folder)

    def _draw(self, folder: Path) -> None:
        plain = self.held_out.plain()
        words = PromptEncoder().sentences(QUERIES)
        nearest = (words @ embedded(self.model, small(plain.pixels)).T).topk(FOUND).indices
        captions = [
            query if place == 0 else title_of(plain.pictures[at])
            for query, row in zip(QUERIES, nearest.tolist(), strict=True)
            for place, at in enumerate([0, *row])
        ]
        pictures = scaled(plain.pixels[nearest.flatten()]).reshape(len(QUERIES), FOUND, 3, 64, 64)
        blank = torch.ones(len(QUERIES), 1, 3, 64, 64)
        rows = torch.cat((blank, pictures), 1).flatten(0, 1)
        write_grid(rows, FOUND + 1, folder / "samples.png", captions=captions)


def emoji_embedder(seed: int) -> EmojiEmbedder:
    found = emoji()
    return EmojiEmbedder(
        found.part(held_out=False), found.part(held_out=True), PromptEncoder(), seed
    )
