"""`emoji-text-to-image-fast` as a recipe wants it: the teacher's ways, the student, the export."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import UNet2DConditionModel

from training.loop import State
from zoo.data.captions import title_of
from zoo.data.emoji import PACKAGES, EmojiSet, emoji, said_of, scaled
from zoo.data.packages import MINILM, cache_folder
from zoo.half_precision import round_to_half
from zoo.image.emoji_embedder import AMONG
from zoo.image.emoji_fast import (
    PART,
    QUICK_WAYS,
    STUDENT_STEPS,
    FastTrainee,
    drawn_prompts,
    ways_of,
)
from zoo.image.emoji_latents import vae
from zoo.image.emoji_text_to_image import GUIDANCE, STEPS, pictures_of
from zoo.image.emoji_text_to_image_export import (
    MEASURED_TITLES,
    PROMPTS,
    chosen,
    save_pipeline,
)
from zoo.image.judging import SAID, distance, retrieval
from zoo.image.prompt_states import PromptEncoder
from zoo.image.saving import LICENSE, parameters_of, write_grid
from zoo.model_page import Page, Shown, Table, write_page
from zoo.recipe import ZOO

SEED, TRAINING_STEPS = 53, 800
TEACHER = "emoji-text-to-image"
WAYS = 1024


class EmojiFast(FastTrainee):
    teacher: UNet2DConditionModel
    sides: dict[str, EmojiSet]

    def export(self, folder: Path, state: State) -> None:
        round_to_half(self.model)
        save_pipeline(self.model, folder, guidance=1.0, steps=STUDENT_STEPS)
        ways = {
            "samples": pictures_of(self.model, self.encoder, PROMPTS, 7, STUDENT_STEPS, 1.0),
            "teacher": pictures_of(self.teacher, self.encoder, PROMPTS, 7, STEPS, GUIDANCE),
        }
        for name, made in ways.items():
            write_grid(made, 12, folder / f"{name}.png", captions=PROMPTS)
        table = self._compared()
        page = Page(
            model="emoji-text-to-image-fast",
            title="Emoji from words in four steps",
            summary=(
                f"A student of `{TEACHER}` that makes in {STUDENT_STEPS} UNet evaluations what its"
                f" teacher makes in {2 * STEPS}: DDIM with {STUDENT_STEPS} steps, guidance 1 (it is"
                " inside already, so that a negative prompt does nothing). Other samplers and"
                " numbers of steps are not what it was trained for."
            ),
            license=LICENSE,
            packages=(*PACKAGES, MINILM),
            other_sources=(
                f"Trained on what `{TEACHER}` made: {WAYS} ways from noise to picture, of"
                f" {STUDENT_STEPS * PART} DDIM steps at guidance {GUIDANCE}.",
            ),
            held_out=(
                f"Prompts and judge as on the page of `{TEACHER}`, the same noise for both:"
                f" {said_of(self.sides['held out'].pictures)} held out. Retrieval is the share"
                f" whose own prompt is the nearest of {AMONG}; Frechet distance to the"
                f" real pictures, {SAID}."
            ),
            tables=(table,),
            parameters=parameters_of(self.model, vae()),
            planned_steps=TRAINING_STEPS,
            seed=SEED,
            shown=(
                Shown("samples.png", "In four evaluations"),
                Shown("teacher.png", f"The teacher, the same noise, in {2 * STEPS}"),
            ),
            headline={
                "prompt_retrieval": float(table.rows[0][3]),
                "prompt_retrieval_of_teacher": float(table.rows[1][3]),
            },
        )
        write_page(page, state, folder)

    def _compared(self) -> Table:
        ways = (
            ("this model", self.model, STUDENT_STEPS, 1.0),
            ("teacher", self.teacher, STEPS, GUIDANCE),
            ("teacher, as few steps", self.teacher, STUDENT_STEPS, GUIDANCE),
        )
        rows: list[tuple[str, str, int, float, float]] = []
        for side, found in self.sides.items():
            titles = [title_of(one) for one in found.pictures]
            for name, model, steps, guidance in ways:
                made = pictures_of(model, self.encoder, titles, 1, steps, guidance)
                evaluations = steps * (1 if guidance == 1.0 else 2)
                right = retrieval(made, titles, self.encoder)
                rows.append((side, name, evaluations, right, distance(made, scaled(found.pixels))))
        return Table(
            "Side by side.",
            ("prompts", "by", "UNet evaluations", "retrieval", "Frechet distance"),
            tuple(rows),
        )


def emoji_fast(seed: int) -> EmojiFast:
    found = emoji()
    training, held_out = found.part(held_out=False), found.part(held_out=True)
    encoder = PromptEncoder()
    teacher, student = (_teacher() for _ in range(2))
    kept = cache_folder() / "runs" / "emoji-text-to-image-fast" / "ways.safetensors"
    kept.parent.mkdir(parents=True, exist_ok=True)
    ways = ways_of(teacher, drawn_prompts(training, WAYS, seed), encoder, seed, GUIDANCE, kept=kept)
    prompts = drawn_prompts(held_out, QUICK_WAYS, seed)
    unseen = ways_of(teacher, prompts, encoder, seed + 1, GUIDANCE)
    made = EmojiFast(student, ways, unseen, encoder, seed)
    made.teacher = teacher
    made.sides = {
        "trained on": chosen(training, MEASURED_TITLES),
        "held out": chosen(held_out, MEASURED_TITLES),
    }
    return made


def _teacher() -> UNet2DConditionModel:
    model = UNet2DConditionModel.from_pretrained(ZOO / TEACHER / "unet", torch_dtype=torch.float32)
    model.eval()
    return model
