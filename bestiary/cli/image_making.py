"""`bestiary image generate`, `sample`, `edit`, `inpaint`, `upscale`, `vary`, `complete`.

Through the SDK like any user. Only the names of what was written go to stdout.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bestiary.cli import image_options as options
from bestiary.cli.connected import connected
from bestiary.cli.image_drawing import Targets, draw
from bestiary.cli.image_files import format_of
from bestiary.errors import InvalidRequest


def generate(
    context: typer.Context,
    prompt: Annotated[str, typer.Argument(help="What to show; (word:1.3) weighs a part of it.")],
    output: options.Output = Path("image.png"),
    n: options.Count = 1,
    negative: options.Negative = None,
    seed: options.Seed = None,
    steps: options.Steps = None,
    guidance: options.Guidance = None,
    sampler: options.SamplerName = None,
    best_of: options.BestOf = None,
    width: Annotated[int | None, typer.Option(help="Pixels; else the model's own.", min=1)] = None,
    height: Annotated[int | None, typer.Option(help="Pixels.", min=1)] = None,
    previews: options.Previews = 0,
    model: options.Model = "auto",
    force: options.Force = False,
    as_json: options.AsJson = False,
) -> None:
    """Make pictures of what a prompt says.

    Example: bestiary image generate "a red heart" -n 4 --seed 7 --guidance 4 -o heart.png
    """
    made = format_of(output)
    targets = Targets.of(output, n, previews, force=force, as_json=as_json)
    with (
        connected(context.obj) as client,
        client.images.stream_text_to_image(
            prompt,
            model=model,
            negative_prompt=negative,
            n=n,
            seed=seed,
            steps=steps,
            guidance_scale=guidance,
            sampler=sampler,
            best_of=best_of,
            width=width,
            height=height,
            format=made,
            previews=previews,
        ) as stream,
    ):
        draw(stream, targets)


def sample(
    context: typer.Context,
    output: options.Output = Path("sample.png"),
    n: options.Count = 1,
    label: options.Label = None,
    seed: options.Seed = None,
    steps: options.Steps = None,
    sampler: options.SamplerName = None,
    truncation: Annotated[
        float | None, typer.Option(help="GAN, VAE: lower is more usual.", min=0)
    ] = None,
    latent: Annotated[
        list[str] | None,
        typer.Option(help="GAN: SEED:WEIGHT, several are added up; 3:1 8:-1 5:1 is 3 - 8 + 5."),
    ] = None,
    temperature: options.Temperature = None,
    top_k: options.TopK = None,
    best_of: options.BestOf = None,
    previews: options.Previews = 0,
    model: options.Model = "auto",
    force: options.Force = False,
    as_json: options.AsJson = False,
) -> None:
    """Make pictures of nothing in particular, or of one class: VAE, GAN, pixels or diffusion.

    Example: bestiary image sample --label 7 -n 8 --seed 1 -o seven.png
    """
    made = format_of(output)
    terms = [_term(one) for one in latent or ()]
    targets = Targets.of(output, n, previews, force=force, as_json=as_json)
    with (
        connected(context.obj) as client,
        client.images.stream_sample(
            model=model,
            n=n,
            label=label,
            seed=seed,
            steps=steps,
            sampler=sampler,
            truncation=truncation,
            latent_terms=terms or None,
            temperature=temperature,
            top_k=top_k,
            best_of=best_of,
            format=made,
            previews=previews,
        ) as stream,
    ):
        draw(stream, targets)


def edit(
    context: typer.Context,
    image: options.Given,
    prompt: Annotated[str, typer.Argument(help="What it shall become.")],
    output: options.Output = Path("edited.png"),
    strength: options.Strength = None,
    n: options.Count = 1,
    negative: options.Negative = None,
    seed: options.Seed = None,
    steps: options.Steps = None,
    guidance: options.Guidance = None,
    sampler: options.SamplerName = None,
    previews: options.Previews = 0,
    model: options.Model = "auto",
    force: options.Force = False,
    as_json: options.AsJson = False,
) -> None:
    """Make a picture anew towards a prompt; --strength says how far it may go.

    Example: bestiary image edit cat.png "a tiger" --strength 0.6 -o tiger.png
    """
    made = format_of(output)
    targets = Targets.of(output, n, previews, force=force, as_json=as_json)
    with (
        connected(context.obj) as client,
        client.images.stream_image_to_image(
            image,
            prompt,
            model=model,
            strength=strength,
            negative_prompt=negative,
            n=n,
            seed=seed,
            steps=steps,
            guidance_scale=guidance,
            sampler=sampler,
            format=made,
            previews=previews,
        ) as stream,
    ):
        draw(stream, targets)


def inpaint(
    context: typer.Context,
    image: options.Given,
    mask: Annotated[
        Path,
        typer.Argument(help="White (or transparent) where to paint.", exists=True, dir_okay=False),
    ],
    prompt: options.Prompt = None,
    output: options.Output = Path("inpainted.png"),
    n: options.Count = 1,
    negative: options.Negative = None,
    seed: options.Seed = None,
    steps: options.Steps = None,
    guidance: options.Guidance = None,
    sampler: options.SamplerName = None,
    previews: options.Previews = 0,
    model: options.Model = "auto",
    force: options.Force = False,
    as_json: options.AsJson = False,
) -> None:
    """Make the masked part of a picture anew; everything else stays as it is.

    Example: bestiary image inpaint face.png mask.png --prompt "sunglasses" -o cool.png
    """
    made = format_of(output)
    targets = Targets.of(output, n, previews, force=force, as_json=as_json)
    with (
        connected(context.obj) as client,
        client.images.stream_inpaint(
            image,
            mask,
            prompt,
            model=model,
            negative_prompt=negative,
            n=n,
            seed=seed,
            steps=steps,
            guidance_scale=guidance,
            sampler=sampler,
            format=made,
            previews=previews,
        ) as stream,
    ):
        draw(stream, targets)


def upscale(
    context: typer.Context,
    image: options.Given,
    output: options.Output = Path("upscaled.png"),
    seed: options.Seed = None,
    steps: options.Steps = None,
    previews: options.Previews = 0,
    model: options.Model = "auto",
    force: options.Force = False,
    as_json: options.AsJson = False,
) -> None:
    """Make a picture larger by the model's scale, with details that fit.

    Example: bestiary image upscale small.png -o large.png
    """
    made = format_of(output)
    targets = Targets.of(output, 1, previews, force=force, as_json=as_json)
    with (
        connected(context.obj) as client,
        client.images.stream_super_resolve(
            image, model=model, seed=seed, steps=steps, format=made, previews=previews
        ) as stream,
    ):
        draw(stream, targets)


def vary(
    context: typer.Context,
    image: options.Given,
    output: options.Output = Path("variation.png"),
    n: options.Count = 1,
    strength: options.Strength = None,
    seed: options.Seed = None,
    previews: options.Previews = 0,
    model: options.Model = "auto",
    force: options.Force = False,
    as_json: options.AsJson = False,
) -> None:
    """Make pictures like a given one.

    Example: bestiary image vary cat.png -n 4 --strength 0.4 -o like-cat.png
    """
    made = format_of(output)
    targets = Targets.of(output, n, previews, force=force, as_json=as_json)
    with (
        connected(context.obj) as client,
        client.images.stream_vary(
            image, model=model, n=n, strength=strength, seed=seed, format=made, previews=previews
        ) as stream,
    ):
        draw(stream, targets)


def complete(
    context: typer.Context,
    image: options.Given,
    output: options.Output = Path("completed.png"),
    keep: Annotated[
        float | None, typer.Option(help="Share of the rows to keep, from the top.", min=0, max=1)
    ] = None,
    n: options.Count = 1,
    seed: options.Seed = None,
    temperature: options.Temperature = None,
    top_k: options.TopK = None,
    previews: options.Previews = 0,
    model: options.Model = "auto",
    force: options.Force = False,
    as_json: options.AsJson = False,
) -> None:
    """Keep a picture's first rows, and let the model go on from there.

    Example: bestiary image complete seven.png --keep 0.5 -n 4 -o guess.png
    """
    made = format_of(output)
    targets = Targets.of(output, n, previews, force=force, as_json=as_json)
    with (
        connected(context.obj) as client,
        client.images.stream_complete(
            image,
            model=model,
            keep=keep,
            n=n,
            seed=seed,
            temperature=temperature,
            top_k=top_k,
            format=made,
            previews=previews,
        ) as stream,
    ):
        draw(stream, targets)


def _term(given: str) -> tuple[int, float]:
    """Raises InvalidRequest for what is no SEED:WEIGHT."""
    seed, _, weight = given.partition(":")
    try:
        return int(seed), float(weight or 1)
    except ValueError:
        raise InvalidRequest(f"{given!r} is not SEED:WEIGHT, as 3:-1", "latent") from None
