"""`bestiary image reconstruct`, `interpolate`, `discriminate`, `likelihood`, `noise`, `trajectory`.

Through the SDK like any user. Names of files, or a table of numbers, go to stdout.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from bestiary_client import Discrimination, Likelihood, Picture
from rich.table import Table
from rich.text import Text

from bestiary.cli import image_options as options
from bestiary.cli.connected import connected
from bestiary.cli.image_files import format_of, make_way, numbered
from bestiary.cli.screen import console, errors
from bestiary.errors import InvalidRequest


def reconstruct(
    context: typer.Context,
    images: options.GivenSeveral,
    output: options.Output = Path("reconstructed.png"),
    model: options.Model = "auto",
    force: options.Force = False,
    as_json: options.AsJson = False,
) -> None:
    """Send pictures through a VAE and back, and tell what was lost.

    Example: bestiary image reconstruct cat.png dog.png -o back.png
    """
    made, files = format_of(output), numbered(output, len(images))
    make_way(files, force)
    with connected(context.obj) as client:
        found = client.images.reconstruct(images, model=model, format=made)
    _write(files, found, as_json)
    if not as_json:
        for one in found:
            errors.print(f"[dim]PSNR {one.psnr:.2f} dB, SSIM {one.ssim:.4f}[/dim]")


def interpolate(
    context: typer.Context,
    first: Annotated[str, typer.Argument(help="A file, or a GAN's seed.")],
    second: Annotated[str, typer.Argument(help="Another one.")],
    output: options.Output = Path("between.png"),
    frames: options.Frames = 8,
    label: options.Label = None,
    model: options.Model = "auto",
    force: options.Force = False,
    as_json: options.AsJson = False,
) -> None:
    """Go from one picture (or seed) to another through the latents.

    Example: bestiary image interpolate 3 8 --frames 8 -o walk.png
    """
    made, files = format_of(output), numbered(output, frames)
    ends = _end(first), _end(second)
    if isinstance(ends[0], int) != isinstance(ends[1], int):
        raise InvalidRequest("give two files or two seeds", "second")
    make_way(files, force)
    with connected(context.obj) as client:
        found = client.images.interpolate(
            *ends, frames=frames, label=label, model=model, format=made
        )
    _write(files, found, as_json)


def discriminate(
    context: typer.Context,
    images: options.GivenSeveral,
    label: options.Label = None,
    model: options.Model = "auto",
    as_json: options.AsJson = False,
) -> None:
    """Tell whether pictures are real or made, as a GAN's discriminator sees them.

    Example: bestiary image discriminate photo.png sample.png
    """
    with connected(context.obj) as client:
        found = client.images.discriminate(images, label=label, model=model)
    if as_json:
        _print_json(images, found)
        return
    table = Table("verdict", "probability real", "score", "file", box=None)
    for path, one in zip(images, found, strict=True):
        verdict = "real" if one.is_real else "made"
        table.add_row(verdict, f"{one.probability:.3f}", f"{one.score:.3f}", Text(str(path)))
    console.print(table)
    if not all(one.calibrated for one in found):
        errors.print("[dim]the probability is not calibrated[/dim]")


def likelihood(
    context: typer.Context,
    images: options.GivenSeveral,
    label: options.Label = None,
    model: options.Model = "auto",
    as_json: options.AsJson = False,
) -> None:
    """Tell how likely an autoregressive model finds pictures, in bits per dimension.

    Example: bestiary image likelihood seven.png noise.png
    """
    with connected(context.obj) as client:
        found = client.images.likelihood(images, label=label, model=model)
    if as_json:
        _print_json(images, found)
        return
    table = Table("bits per dimension", "log-likelihood", "file", box=None)
    for path, one in zip(images, found, strict=True):
        bits, nats = f"{one.bits_per_dimension:.4f}", f"{one.log_likelihood:.1f}"
        table.add_row(bits, nats, Text(str(path)))
    console.print(table)


def noise(
    context: typer.Context,
    image: options.Given,
    timesteps: Annotated[str, typer.Option(help="So many noising steps each.")] = "0,250,500,750",
    output: options.Output = Path("noised.png"),
    seed: options.Seed = None,
    model: options.Model = "auto",
    force: options.Force = False,
    as_json: options.AsJson = False,
) -> None:
    """Watch a diffusion model's forward process: structure that noise destroys.

    Example: bestiary image noise cat.png --timesteps 0,100,300,600,999 -o noised.png
    """
    asked = _numbers(timesteps)
    made, files = format_of(output), numbered(output, len(asked))
    make_way(files, force)
    with connected(context.obj) as client:
        found = client.images.noise(image, asked, seed=seed, model=model, format=made)
    _write(files, found, as_json)
    if not as_json:
        for one in found:
            errors.print(f"[dim]step {one.timestep}: signal to noise {one.snr:.4g}[/dim]")


def trajectory(
    context: typer.Context,
    prompt: Annotated[str | None, typer.Argument(help="Where the model takes one.")] = None,
    output: options.Output = Path("trajectory.png"),
    frames: options.Frames = 8,
    label: options.Label = None,
    seed: options.Seed = None,
    steps: options.Steps = None,
    guidance: options.Guidance = None,
    sampler: options.SamplerName = None,
    denoised: Annotated[
        bool, typer.Option("--denoised", help="Write what the model foresees, not the noise.")
    ] = False,
    model: options.Model = "auto",
    force: options.Force = False,
    as_json: options.AsJson = False,
) -> None:
    """Watch a diffusion model's reverse process: from noise to a picture.

    Example: bestiary image trajectory "a red heart" --frames 8 -o heart.png
    """
    made, files = format_of(output), numbered(output, frames)
    make_way(files, force)
    with connected(context.obj) as client:
        found = client.images.trajectory(
            prompt,
            frames=frames,
            label=label,
            seed=seed,
            steps=steps,
            guidance_scale=guidance,
            sampler=sampler,
            model=model,
            format=made,
        )
    shown = [one.denoised or one for one in found] if denoised else list(found)
    _write(files[: len(shown)], shown, as_json)  # a model of few steps has fewer frames
    if not as_json:
        work = found.result.work
        errors.print(
            f"[dim]seed {found.result.seed}, {work.steps} steps, {work.evaluations} evaluations, "
            f"{work.seconds:.2f} s[/dim]"
        )


def _end(given: str) -> int | Path:
    """A file where there is one of that name, else a seed."""
    path = Path(given)
    if path.is_file():
        return path
    if given.isascii() and given.isdigit():
        return int(given)
    raise InvalidRequest(f"{given} is neither a file nor a seed", "first")


def _numbers(given: str) -> list[int]:
    try:
        return [int(one) for one in given.split(",")]
    except ValueError:
        raise InvalidRequest(
            f"{given!r} is no list of numbers, as 0,250,500", "timesteps"
        ) from None


def _write(files: Sequence[Path], pictures: Iterable[Picture], as_json: bool) -> None:
    for file, picture in zip(files, pictures, strict=True):
        picture.save(file)
        if not as_json:
            print(file)
            continue
        facts = {name: value for name, value in vars(picture).items() if _plain(value)}
        print(json.dumps({"file": str(file), **facts}, ensure_ascii=False))


def _plain(value: object) -> bool:
    return isinstance(value, str | int | float)


def _print_json(images: Sequence[Path], found: Iterable[Discrimination | Likelihood]) -> None:
    for path, one in zip(images, found, strict=True):
        print(json.dumps({"file": str(path), **asdict(one)}, ensure_ascii=False))
