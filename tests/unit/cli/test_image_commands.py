"""`bestiary image`, through the SDK and the real gateway, before models that are invented."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bestiary_client import BadRequest
from click.testing import Result
from image_fakes import SIDE, STEPS, ImageDispatcher, image_args, png
from loopback_gateway import LoopbackGateway
from PIL import Image
from typer.testing import CliRunner

from bestiary.cli.main import app
from bestiary.errors import Conflict, InvalidRequest, Unavailable
from bestiary.schemas.image import Sampler

Command = Callable[..., Result]
COMMANDS = (
    "generate",
    "sample",
    "edit",
    "inpaint",
    "upscale",
    "vary",
    "complete",
    "reconstruct",
    "interpolate",
    "discriminate",
    "likelihood",
    "noise",
    "trajectory",
)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackGateway]:
    home = tmp_path_factory.mktemp("gateway")
    with LoopbackGateway(home, image_args, ImageDispatcher) as running:
        yield running


@pytest.fixture
def command(platform: LoopbackGateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """In a folder of its own, which has a cat and a mask."""
    monkeypatch.setenv("BESTIARY_HOME", str(platform.home))
    monkeypatch.setenv("BESTIARY_PORT", str(platform.port))
    monkeypatch.chdir(tmp_path)
    platform.router.requests.clear()
    Path("cat.png").write_bytes(png(10))
    Path("mask.png").write_bytes(png(200))
    return lambda *arguments: CliRunner().invoke(app, ["image", *arguments])


def written(done: Result) -> list[tuple[str, int]]:
    """The files that it names, each with its colour."""
    assert done.exit_code == 0, done.output
    return [(line, red(line)) for line in done.stdout.splitlines()]


def red(path: str) -> int:
    with Image.open(path) as opened:
        assert opened.size == (SIDE, SIDE)
        return opened.convert("RGB").getpixel((0, 0))[0]


def test_help_teaches_every_command_with_an_example(command: Command) -> None:
    assert {one.name for one in app.registered_groups} >= {"image"}
    for name in COMMANDS:
        assert f"Example: bestiary image {name} " in command(name, "--help").stdout


def test_a_prompt_becomes_a_file(command: Command, platform: LoopbackGateway) -> None:
    done = command("generate", "a cat", "--seed", "7", "--steps", "4", "--sampler", "unipc")
    assert written(done) == [("image.png", 7)]
    assert f"seed 7, {STEPS} steps, {2 * STEPS} evaluations, 0.25 s" in done.stderr
    assert "tiny-painter" in done.stderr
    [request] = platform.router.requests
    assert (request.prompt.text, request.denoising.sampler) == ("a cat", Sampler.UNIPC)


def test_several_are_numbered(command: Command) -> None:
    done = command("generate", "a cat", "-n", "3", "--seed", "7", "-o", "cats/cat.png")
    assert written(done) == [("cats/cat-1.png", 7), ("cats/cat-2.png", 8), ("cats/cat-3.png", 9)]


@pytest.mark.parametrize(
    ("name", "kind"), [("a.png", "PNG"), ("a.webp", "WEBP"), ("a.jpg", "JPEG")]
)
def test_the_suffix_says_the_format(command: Command, name: str, kind: str) -> None:
    assert command("sample", "-o", name).exit_code == 0
    with Image.open(name) as opened:
        assert opened.format == kind


def test_previews_are_files_beside_it(command: Command) -> None:
    done = command("generate", "a cat", "--seed", "7", "--previews", "2", "-o", "cat7.png")
    assert written(done) == [("cat7.png", 7)]
    assert (red("cat7.preview-1.png"), red("cat7.preview-2.png")) == (8, 8)


def test_what_is_known_comes_as_json(command: Command) -> None:
    done = command("sample", "-n", "2", "--seed", "5", "--best-of", "2", "--json")
    facts = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(one["file"], one["seed"], one["score"]) for one in facts] == [
        ("sample-1.png", 5, 0.5),
        ("sample-2.png", 6, 0.5),
    ]
    assert facts[0]["work"]["evaluations"] == 4 * STEPS


@pytest.mark.parametrize(
    "arguments",
    [
        ("generate", "a", "-o", "cat.png"),
        ("sample", "-n", "2", "-o", "taken.png"),
        ("generate", "a", "--previews", "1", "-o", "fresh.png"),
        ("reconstruct", "cat.png", "-o", "cat.png"),
        ("trajectory", "-o", "taken.png", "--frames", "2"),
    ],
)
def test_nothing_is_written_over_without_force(
    command: Command, platform: LoopbackGateway, arguments: tuple[str, ...]
) -> None:
    for name in ("taken-2.png", "fresh.preview-1.png"):
        Path(name).write_bytes(b"mine")
    done = command(*arguments)
    assert isinstance(done.exception, Conflict)
    assert "--force" in str(done.exception)
    assert platform.router.requests == []
    assert command(*arguments, "--force").exit_code == 0


def test_pictures_are_changed(command: Command, platform: LoopbackGateway) -> None:
    written(command("edit", "cat.png", "a tiger", "--strength", "0.6"))
    written(command("inpaint", "cat.png", "mask.png", "--prompt", "a hat"))
    written(command("upscale", "cat.png"))
    written(command("vary", "cat.png", "-n", "2"))
    written(command("complete", "cat.png", "--keep", "0.25", "--top-k", "5"))

    edited, painted, upscaled, varied, completed = platform.router.requests
    assert (edited.prompt.text, edited.strength, edited.image.data) == ("a tiger", 0.6, png(10))
    assert (painted.mask.data, painted.prompt.text) == (png(200), "a hat")
    assert upscaled.image.data == png(10)
    assert varied.images == 2
    assert (completed.keep, completed.top_k) == (0.25, 5)


def test_latents_are_added_up(command: Command, platform: LoopbackGateway) -> None:
    command("sample", "--latent", "3:1", "--latent", "8:-1", "--latent", "5")
    assert platform.router.requests[0].latent_terms == ((3, 1.0), (8, -1.0), (5, 1.0))


def test_a_reconstruction_says_what_was_lost(command: Command) -> None:
    done = command("reconstruct", "cat.png", "mask.png")
    assert written(done) == [("reconstructed-1.png", 10), ("reconstructed-2.png", 200)]
    assert "PSNR inf dB, SSIM 1.0000" in done.stderr


def test_from_file_to_file_and_from_seed_to_seed(command: Command) -> None:
    done = command("interpolate", "cat.png", "mask.png", "--frames", "3")
    assert [colour for _, colour in written(done)] == [10, 105, 200]
    done = command("interpolate", "0", "9", "--frames", "4", "-o", "walk.png")
    assert [colour for _, colour in written(done)] == [0, 3, 6, 9]


def test_verdicts_and_likelihoods_are_tables(command: Command) -> None:
    lines = command("discriminate", "mask.png", "cat.png").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["verdict", "real", "made"]
    lines = command("likelihood", "cat.png").stdout.splitlines()
    assert lines[1].split() == ["1.0000", "-10.0", "cat.png"]
    told = json.loads(command("likelihood", "cat.png", "--json").stdout)
    assert told["per_row"] == [0.5, 1.5]


def test_noise_is_watched_going_in_and_coming_out(command: Command) -> None:
    done = command("noise", "cat.png", "--timesteps", "0,5")
    assert written(done) == [("noised-1.png", 10), ("noised-2.png", 15)]
    done = command("trajectory", "a cat", "--frames", "3", "--denoised")
    assert [colour for _, colour in written(done)] == [0, 2, 3]
    assert "8 evaluations" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "param"),
    [
        (("sample", "-o", "a.gif"), "output"),
        (("sample", "--latent", "one:1"), "latent"),
        (("interpolate", "cat.png", "5"), "second"),
        (("interpolate", "nowhere.png", "5"), "first"),
        (("noise", "cat.png", "--timesteps", "soon"), "timesteps"),
    ],
)
def test_bad_arguments_are_told(command: Command, arguments: tuple[str, ...], param: str) -> None:
    done = command(*arguments)
    assert isinstance(done.exception, InvalidRequest)
    assert done.exception.param == param


def test_what_the_platform_refuses_names_the_field(command: Command) -> None:
    Path("broken.png").write_bytes(b"no")
    done = command("vary", "broken.png", "-o", "v.png")
    assert isinstance(done.exception, BadRequest)
    assert done.exception.param == "image"
    assert not Path("v.png").exists()


def test_a_file_that_is_not_there_is_a_usage_error(command: Command) -> None:
    assert command("vary", "nowhere.png").exit_code == 2


def test_without_a_platform_it_says_how_to_start_one(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BESTIARY_PORT", "1")
    assert isinstance(command("sample").exception, Unavailable)
