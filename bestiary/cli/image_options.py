"""Options that the commands of images share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bestiary.schemas.image import MAX_FRAMES, MAX_IMAGES, MAX_STEPS, Sampler

Model = Annotated[
    str, typer.Option(help="A card, a deployment or an alias; auto: the first that can do it.")
]
Output = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        help="Where to write; its suffix says the format (png, webp, jpg). Several pictures are "
        "numbered: cat-1.png, cat-2.png.",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Write over files that are there.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print what is known of each as JSON.")]
Given = Annotated[
    Path, typer.Argument(help="A PNG, JPEG or WebP file.", exists=True, dir_okay=False)
]
GivenSeveral = Annotated[
    list[Path], typer.Argument(help="PNG, JPEG or WebP files.", exists=True, dir_okay=False)
]
Prompt = Annotated[str | None, typer.Option(help="What the picture shall become.")]
Negative = Annotated[str | None, typer.Option("--negative", help="What to lead away from.")]
Count = Annotated[int, typer.Option("-n", help="So many pictures.", min=1, max=MAX_IMAGES)]
BestOf = Annotated[
    int | None, typer.Option(help="Make so many of each, keep the best.", min=1, max=MAX_IMAGES)
]
Seed = Annotated[
    int | None, typer.Option(help="The same seed makes the same picture; else drawn.", min=0)
]
Steps = Annotated[
    int | None, typer.Option(help="Denoising steps; fewer are faster.", min=1, max=MAX_STEPS)
]
SamplerName = Annotated[
    Sampler | None, typer.Option("--sampler", help="How noise is taken away.", show_choices=True)
]
Guidance = Annotated[
    float | None,
    typer.Option(help="How closely to follow the prompt; 1: no guidance, half the cost.", min=0),
]
Strength = Annotated[
    float | None, typer.Option(help="How much is made anew, over 0 up to 1.", min=0, max=1)
]
Label = Annotated[str | None, typer.Option(help="A class; `bestiary models show` tells which.")]
Previews = Annotated[
    int,
    typer.Option(
        help="Also write so many unfinished pictures of each: cat.preview-1.png, ...",
        min=0,
        max=MAX_FRAMES,
    ),
]
Frames = Annotated[int, typer.Option(help="So many pictures.", min=2, max=MAX_FRAMES)]
Temperature = Annotated[
    float | None, typer.Option(help="Lower is safer, higher is wilder.", min=0, max=2)
]
TopK = Annotated[int | None, typer.Option(help="Draw from the k likeliest; 0: all.", min=0)]
