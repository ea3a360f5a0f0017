"""`digits-autoregressive` as a recipe wants it: data and model, and the export with its figures."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from training.frechet import frechet_distance
from training.loop import State
from zoo.data.digits import CLASSES, LEVELS, SIDE, digits, pictures_of
from zoo.data.packages import SCIKIT_LEARN
from zoo.half_precision import round_to_half
from zoo.image.digit_pixels import ANY, FIRST_CLASS, PixelTrainee, completed
from zoo.image.digit_reader import judge
from zoo.image.saving import parameters_of, write_grid, write_json
from zoo.model_page import Page, Shown, Table, write_page

SEED, STEPS = 19, 700
JUDGED = 500  # digits
LICENSE = (
    "Apache-2.0 for the weights. The digits are from the UCI Machine Learning Repository, by"
    " E. Alpaydin and C. Kaynak, CC-BY-4.0."
)


class DigitPixels(PixelTrainee):
    def export(self, folder: Path, state: State) -> None:
        round_to_half(self.model)
        self.model.half().save_pretrained(folder, safe_serialization=True)
        self.model.float()
        _write_colours(folder)
        _name_tokens(folder)
        made = self.samples(torch.arange(JUDGED) % CLASSES, seed=1)
        self._draw(folder)
        page = Page(
            model="digits-autoregressive",
            title="Handwritten digits, pixel by pixel",
            summary=(
                "An ImageGPT that draws 8x8 digits one pixel after the other, of a class or of any,"
                " finishes half-drawn ones, and says how likely a digit is. The first token is the"
                f" class: {FIRST_CLASS} plus the digit, {ANY} for any; tokens 0 to 16 are the grey"
                " levels, black to white. Tokens of classes are left out of the softmax."
            ),
            license=LICENSE,
            packages=(SCIKIT_LEARN,),
            other_sources=(),
            held_out=(
                f"{len(self.held_out)} digits by the hash of their pixels, {len(self.training)} to"
                " train on; the same 13 people wrote both. Levels are 17, so that a pixel that"
                " nothing is known of has 4.09 bits."
            ),
            tables=self._tables(made),
            parameters=parameters_of(self.model),
            planned_steps=STEPS,
            seed=SEED,
            headline={"bits_per_dimension": self.bits(self.held_out)},
            shown=(
                Shown("samples.png", "Samples, a column per class, at temperature 1"),
                Shown(
                    "completions.png",
                    "Held-out digits, their upper halves, and three ways to go on from those",
                ),
            ),
        )
        write_page(page, state, folder)

    def _tables(self, made: torch.Tensor) -> tuple[Table, ...]:
        reader = judge(self.training)
        asked = torch.arange(len(made)) % CLASSES
        features = reader.features(pictures_of(made))
        references = reader.features(self.held_out.pictures)
        drawn = frechet_distance(reader.features(self.training.pictures), references)
        right = float((reader.read(pictures_of(made)) == asked).float().mean())
        real = float((reader.read(self.held_out.pictures) == self.held_out.labels).float().mean())
        return (
            Table(
                "Bits per pixel (per dimension), exact.",
                ("digits", "class told", "class not told"),
                (
                    ("held out", self.bits(self.held_out), self.bits(self.held_out, told=False)),
                    ("trained on", self.bits(self.training), self.bits(self.training, told=False)),
                ),
            ),
            Table(
                f"{len(made)} samples, judged by a small convolutional network that reads digits,"
                " trained on the same training half and not part of this folder: the share that it"
                " reads as the class asked for, and the Frechet distance of its"
                f" {features.shape[1]} features to those of the held-out digits.",
                ("digits", "right class", "Frechet distance"),
                (
                    ("sampled", right, frechet_distance(features, references)),
                    ("real: held out, and trained on against held out", real, drawn),
                ),
            ),
        )

    def _draw(self, folder: Path) -> None:
        made = self.samples(torch.arange(6 * CLASSES) % CLASSES, seed=2)
        write_grid(pictures_of(made), CLASSES, folder / "samples.png", enlarged=5)
        shown = self.held_out.levels[:: len(self.held_out) // 12][:12]
        upper = shown[:, : SIDE * SIDE // 2]
        hidden = torch.cat((upper, torch.full_like(upper, LEVELS // 2)), 1)
        anything = torch.full((len(shown),), ANY)
        ways = [completed(self.model, anything, upper, seed) for seed in range(3)]
        rows = pictures_of(torch.cat((shown, hidden, *ways)))
        write_grid(rows, len(shown), folder / "completions.png", enlarged=5)


def digit_pixels(seed: int) -> DigitPixels:
    training, held_out = digits()
    return DigitPixels(training, held_out, seed)


def _write_colours(folder: Path) -> None:
    """What each level looks like, where ImageGPT's image processor keeps its palette."""
    grey = [level / ((LEVELS - 1) / 2) - 1 for level in range(LEVELS)]
    write_json(
        {
            "image_processor_type": "ImageGPTImageProcessor",
            "clusters": [[value] * 3 for value in grey],
            "do_color_quantize": True,
            "do_normalize": True,
            "do_resize": True,
            "size": {"height": SIDE, "width": SIDE},
        },
        folder / "preprocessor_config.json",
    )


def _name_tokens(folder: Path) -> None:
    """Into `config.json`: the first token of every class, and the one of any."""
    path = folder / "config.json"
    config = json.loads(path.read_text("utf-8"))
    config["id2label"] = {str(digit): str(digit) for digit in range(CLASSES)}
    config["label2id"] = {str(digit): digit for digit in range(CLASSES)}
    config["class_tokens"] = {str(digit): FIRST_CLASS + digit for digit in range(CLASSES)}
    config["any_token"] = ANY
    config["pixel_tokens"] = LEVELS  # the first so many; all others are never predicted
    write_json(config, path)
