"""`emoji-text-to-image` as a recipe wants it: data and model ready, the export with its figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel

from training.loop import State
from zoo.data.captions import title_of
from zoo.data.emoji import PACKAGES, EmojiSet, emoji, said_of, scaled
from zoo.data.packages import MINILM
from zoo.half_precision import round_to_half
from zoo.image.emoji_embedder import AMONG
from zoo.image.emoji_latents import VAE, vae
from zoo.image.emoji_text_to_image import GUIDANCE, STEPS, TextToImageTrainee
from zoo.image.judging import SAID, distance, embedder, retrieval
from zoo.image.noising import scheduler_config
from zoo.image.prompt_states import MAX_TOKENS, PromptEncoder
from zoo.image.saving import (
    LICENSE,
    parameters_of,
    save_component,
    save_scheduler,
    write_grid,
    write_index,
    write_json,
)
from zoo.model_page import Page, Shown, Table, write_page

SEED, TRAINING_STEPS = 43, 6500
TEXT_ENCODER = "all-minilm-l6-v2"
MEASURED_TITLES = 120  # of each side
TRAINED_ON, HELD_OUT = "trained on", "held out"
GUIDANCES = (1.0, 2.0, GUIDANCE, 5.0)
STEP_COUNTS = (STEPS, 8, 4)
PROMPTS = (
    "grinning face", "crying face", "face with sunglasses", "angry face", "cat face", "dog face",
    "red heart", "blue heart", "green apple", "pizza", "birthday cake", "red car", "rocket",
    "sun", "crescent moon", "rainbow", "cherry blossom", "soccer ball", "guitar", "house",
    "japan flag", "france flag", "waving hand, dark skin tone", "waving hand, light skin tone",
)  # fmt: skip
NEW_PROMPTS = (
    "a smiling green face", "purple heart with a star", "red apple, twemoji style",
    "red apple, noto style", "a small yellow bird", "a man in a blue shirt", "night sky",
    "something to eat", "happy cat", "orange flower", "blue car", "flag with three stripes",
)  # fmt: skip


class EmojiTextToImage(TextToImageTrainee):
    def export(self, folder: Path, state: State) -> None:
        round_to_half(self.model)
        save_pipeline(self.model, folder, guidance=GUIDANCE, steps=STEPS)
        self._draw(folder)
        judged = Judged(self)
        page = Page(
            model="emoji-text-to-image",
            title="Emoji from words",
            summary=(
                f"Diffusion of 64x64 pictures, in the latents of `{VAE}`, from an English prompt:"
                " all-MiniLM-L6-v2 reads it token by token, the UNet reads its states by"
                " cross-attention and, pooled, beside the time; with classifier-free guidance."
                " Names and keywords of emoji work best; `twemoji style` and `noto style` choose"
                " the art, and a skin tone is told as in `waving hand, dark skin tone`. With a mask"
                " it inpaints, and from a given picture it goes on: no other weights are needed."
            ),
            license=LICENSE,
            packages=(*PACKAGES, MINILM),
            other_sources=(),
            held_out=(
                f"{said_of(self.held_out.pictures)} by the hash of the code points without skin"
                f" tone and gender; {said_of(self.training.pictures)} to train on, with captions"
                " from names and keywords. Retrieval: one picture per prompt, made at a fixed seed"
                " and not picked; the share whose own prompt is the nearest of"
                f" {AMONG} (the others drawn from the same side's names), by `emoji-embedder`,"
                " which was trained on real emoji of the training side only. Prompts of the"
                " training side were seen in training; those held out were not, nor were their"
                " pictures."
            ),
            tables=judged.tables(),
            parameters=parameters_of(self.model, vae()),
            planned_steps=TRAINING_STEPS,
            seed=SEED,
            headline={
                "prompt_retrieval": judged.of(TRAINED_ON)[0],
                "prompt_retrieval_held_out": judged.of(HELD_OUT)[0],
            },
            shown=(
                Shown("samples.png", "Prompts that were trained on, one sample each, not picked"),
                Shown("new_prompts.png", "Prompts that were not"),
                Shown("held_out.png", "Names of held-out emoji: drawn, and below generated"),
                Shown("guidance.png", "Guidance 1, 2, 3, 5 (rows) at the same seeds"),
            ),
        )
        write_page(page, state, folder)

    def _draw(self, folder: Path) -> None:
        for name, prompts in (("samples", PROMPTS), ("new_prompts", NEW_PROMPTS)):
            made = self.pictures(prompts, 7)
            write_grid(made, 12, folder / f"{name}.png", captions=prompts)
        shown = chosen(self.held_out, 24)
        titles = [title_of(one) for one in shown.pictures]
        rows = zip(scaled(shown.pixels).split(12), self.pictures(titles, 7).split(12), strict=True)
        captions = [text for part in (titles[:12], titles[12:]) for text in (*part, *part)]
        pairs = torch.cat([part for pair in rows for part in pair])
        write_grid(pairs, 12, folder / "held_out.png", captions=captions)
        few = PROMPTS[:: len(PROMPTS) // 12][:12]
        ways = [self.pictures(few, 7, guidance=guidance) for guidance in GUIDANCES]
        write_grid(torch.cat(ways), len(few), folder / "guidance.png")


class Judged:
    """Retrieval and distance of what the model makes, each way once."""

    def __init__(self, trainee: TextToImageTrainee) -> None:
        self._trainee = trainee
        self._sides = {
            TRAINED_ON: chosen(trainee.training, MEASURED_TITLES),
            HELD_OUT: chosen(trainee.held_out, MEASURED_TITLES),
        }
        self._found: dict[tuple[str, int, float], tuple[float, float]] = {}

    def of(self, side: str, steps: int = STEPS, guidance: float = GUIDANCE) -> tuple[float, float]:
        """Retrieval, and the Frechet distance to the real pictures of the same prompts."""
        key = (side, steps, guidance)
        if key not in self._found:
            titles, real = self._titles(side), scaled(self._sides[side].pixels)
            made = self._trainee.pictures(titles, 1, steps=steps, guidance=guidance)
            right = retrieval(made, titles, self._trainee.encoder)
            self._found[key] = (right, distance(made, real))
        return self._found[key]

    def tables(self) -> tuple[Table, ...]:
        return (
            Table(
                f"The right one among {AMONG} prompts (guessing: {1 / AMONG:.2f}), {STEPS} DDIM"
                f" steps, guidance {GUIDANCE}; Frechet distance to the real pictures of the same"
                f" prompts, {SAID}.",
                ("prompts", "how many", "generated", "real pictures", "Frechet distance"),
                tuple(self._row(side) for side in self._sides),
            ),
            Table(
                f"Guidance, with prompts that were trained on, {STEPS} DDIM steps.",
                ("guidance", "retrieval", "Frechet distance"),
                tuple(
                    (f"{guidance}", *self.of(TRAINED_ON, guidance=guidance))
                    for guidance in GUIDANCES
                ),
            ),
            Table(
                f"Steps, with prompts that were trained on, guidance {GUIDANCE}, DDIM.",
                ("steps", "UNet evaluations", "retrieval", "Frechet distance"),
                tuple((steps, 2 * steps, *self.of(TRAINED_ON, steps)) for steps in STEP_COUNTS),
            ),
        )

    def _row(self, side: str) -> tuple[str | float | int, ...]:
        titles = self._titles(side)
        right, far = self.of(side)
        real = retrieval(scaled(self._sides[side].pixels), titles, self._trainee.encoder)
        return (side, len(titles), right, real, far)

    def _titles(self, side: str) -> list[str]:
        return [title_of(one) for one in self._sides[side].pictures]


def save_pipeline(
    model: UNet2DConditionModel, folder: Path, *, guidance: float, steps: int
) -> None:
    """The UNet, the VAE, the noise, how a prompt becomes what the UNet reads, and who judges the
    result."""
    save_component(model, folder / "unet")
    save_component(vae(), folder / "vae")
    save_scheduler(scheduler_config(pixels=False), folder / "scheduler")
    write_index(
        folder,
        "TextToImagePipeline",
        {
            "unet": "UNet2DConditionModel",
            "vae": "AutoencoderKL",
            "scheduler": "DDIMScheduler",
        },
    )
    embedder().save_pretrained(folder / "scorer", torch.float16)  # best of several pictures
    write_json(
        {
            "text_encoder": TEXT_ENCODER,
            "max_tokens": MAX_TOKENS,
            "guidance_scale": guidance,
            "steps": steps,
        },
        folder / "conditioning.json",
    )


def chosen(found: EmojiSet, count: int) -> EmojiSet:
    """Emoji without skin tones, spread over all kinds; no two of one name."""
    first: dict[str, int] = {}
    for place, one in enumerate(found.pictures):
        if one.tone is None:
            first.setdefault(one.name, place)
    places: Sequence[int] = list(first.values())
    every = max(1, len(places) // count)
    return found.where(places[::every][:count])


def emoji_text_to_image(seed: int) -> EmojiTextToImage:
    found = emoji()
    return EmojiTextToImage(
        found.part(held_out=False), found.part(held_out=True), PromptEncoder(), seed
    )
