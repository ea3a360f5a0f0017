"""Images: what is sent, what comes back, streams, and files on disk."""

from __future__ import annotations

import asyncio
import base64
import inspect
import io
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from image_replies import (
    FRAMES,
    ROWS,
    SIDE,
    generated_row,
    image_reply,
    image_stream,
    news,
    picture_row,
    png,
)
from PIL import Image
from scripted_server import ScriptedServer, refusal

from bestiary_client import (
    AsyncBestiary,
    AsyncImages,
    BadRequest,
    Bestiary,
    ConfigurationError,
    ImageDone,
    ImageProgress,
    Images,
    ImageUsage,
    ImageWork,
    Latent,
    Picture,
    StreamBroken,
    UnexpectedReply,
)

PACKED = base64.b64encode(png(7)).decode()
GIVEN = Picture(png(7), "png", SIDE, SIDE)


@pytest.fixture
def client(server: ScriptedServer) -> Iterator[Bestiary]:
    with Bestiary(base_url=server.url) as connected:
        yield connected


def test_a_prompt_becomes_pictures(server: ScriptedServer, client: Bestiary) -> None:
    server.will(image_reply(generated_row(7), generated_row(8)))
    found = client.images.text_to_image("a cat", n=2, steps=25, negative_prompt=None, seed=7)

    assert server.got[0].path == "/v1/images/text-to-image"
    assert server.got[0].body == {
        "model": "auto",
        "prompt": "a cat",
        "n": 2,
        "steps": 25,
        "seed": 7,
    }
    assert [(one.seed, one.data) for one in found] == [(7, png(7)), (8, png(8))]
    assert found[0].work == ImageWork(25, 50, 0.4, 2)
    assert (found[0].score, found[0].scores) == (None, ())
    assert (found.model, found.usage) == ("a-painter", ImageUsage(1, 0.4, 25, 50, 2))
    assert client.last_receipt == found.receipt is not None


def test_the_best_of_several_has_all_scores(server: ScriptedServer, client: Bestiary) -> None:
    server.will(image_reply(generated_row(7, score=1, scores=[0.5, 1])))
    [found] = client.images.sample(best_of=2, label="Cat", model="a-gan")
    assert (found.score, found.scores) == (1.0, (0.5, 1.0))
    assert server.got[0].body == {"model": "a-gan", "best_of": 2, "label": "Cat"}


@pytest.mark.parametrize("kind", ["bytes", "path", "text", "picture", "pil"])
def test_a_picture_may_be_given_in_any_way(
    server: ScriptedServer, client: Bestiary, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(7))
    with Image.open(io.BytesIO(png(7))) as opened:
        given = {
            "bytes": png(7),
            "path": path,
            "text": str(path),
            "picture": GIVEN,
            "pil": opened,
        }[kind]
        server.will(image_reply(generated_row()))
        client.images.vary(given)
        server.will(image_reply(ROWS["discriminate"]))
        client.images.discriminate(given)
        client.images.discriminate([given, given])
    one, alone, both = (got.body for got in server.got)
    assert one is not None
    assert alone is not None
    assert both is not None
    sent = base64.b64decode(str(one["image"]))
    assert Image.open(io.BytesIO(sent)).convert("RGB").getpixel((0, 0)) == (7, 0, 0)
    assert alone["images"] == [one["image"]]
    assert both["images"] == [one["image"]] * 2


def test_a_file_that_is_not_there_is_said_before_anything_is_sent(
    server: ScriptedServer, client: Bestiary
) -> None:
    with pytest.raises(FileNotFoundError):
        client.images.vary("nowhere.png")
    assert server.got == []


def test_every_task_sends_its_body_and_reads_its_reply(
    server: ScriptedServer, client: Bestiary
) -> None:
    images = client.images
    server.will(*(image_reply(ROWS[task]) for task in ROWS))
    [latent] = images.encode(GIVEN, seed=3)
    [decoded] = images.decode([latent])
    [rebuilt] = images.reconstruct(GIVEN, format="webp")
    [between] = images.interpolate(1, 2, frames=1)
    [judged] = images.discriminate(GIVEN)
    [likely] = images.likelihood(GIVEN)
    [noised] = images.noise(GIVEN, 5)

    assert latent == Latent((1, 2), [0.5, -1.0])
    assert decoded == between == GIVEN
    assert (rebuilt.mse, rebuilt.psnr, rebuilt.ssim) == (0.0, math.inf, 1.0)
    assert (judged.probability, judged.is_real) == (0.8, True)
    assert (likely.bits_per_dimension, likely.per_row) == (1.25, (1.0, 1.5))
    assert (noised.timestep, noised.snr) == (5, 1.7)
    sent = {got.path.rpartition("/")[2]: {**(got.body or {})} for got in server.got}
    assert all(body.pop("model") == "auto" for body in sent.values())
    assert sent == {
        "encode": {"images": [PACKED], "seed": 3, "encoding_format": "base64"},
        "decode": {"latents": [ROWS["encode"]["latent"]], "shape": [1, 2]},
        "reconstruct": {"images": [PACKED], "format": "webp"},
        "interpolate": {"seeds": [1, 2], "frames": 1},
        "discriminate": {"images": [PACKED]},
        "likelihood": {"images": [PACKED]},
        "noise": {"image": PACKED, "timesteps": [5]},
    }


def test_latents_may_be_nested_lists(server: ScriptedServer, client: Bestiary) -> None:
    server.will(image_reply(picture_row()))
    client.images.decode([[[0.5, 1]]], label="Cat")
    assert server.got[0].body == {"model": "auto", "latents": [[[0.5, 1]]], "label": "Cat"}


def test_pictures_are_interpolated_too(server: ScriptedServer, client: Bestiary) -> None:
    server.will(image_reply(picture_row()))
    client.images.interpolate(GIVEN, png(7))
    assert server.got[0].body == {"model": "auto", "images": [PACKED, PACKED]}
    with pytest.raises(TypeError, match="two pictures or two seeds"):
        client.images.interpolate(GIVEN, 5)


def test_a_trajectory_has_its_frames_and_its_end(server: ScriptedServer, client: Bestiary) -> None:
    server.will(image_reply(*FRAMES, image=generated_row(9)))
    found = client.images.trajectory("a cat", frames=2, steps=25)
    assert [(one.step, one.snr) for one in found] == [(0, 0.01), (25, math.inf)]
    assert found[0].denoised is None
    assert found[1].denoised is not None
    assert found[1].denoised.data == png(3)
    assert found.result.seed == 9


def test_inpainting_sends_picture_mask_and_prompt(server: ScriptedServer, client: Bestiary) -> None:
    server.will(image_reply(generated_row()))
    client.images.inpaint(GIVEN, png(255), "a hat", strength=0.9)
    assert server.got[0].body == {
        "model": "auto",
        "image": PACKED,
        "mask": base64.b64encode(png(255)).decode(),
        "prompt": "a hat",
        "strength": 0.9,
    }


def test_an_option_that_is_none_of_the_tasks_is_refused(client: Bestiary) -> None:
    with pytest.raises(TypeError, match="'strength'"):
        client.images.text_to_image("a", strength=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="streams"):
        client.images.text_to_image("a", previews=1)


def test_a_refusal_names_the_field(server: ScriptedServer, client: Bestiary) -> None:
    server.will(refusal(400, "image_unreadable", param="image"))
    with pytest.raises(BadRequest) as caught:
        client.images.vary(b"GIF89a")
    assert (caught.value.code, caught.value.param) == ("image_unreadable", "image")


@pytest.mark.parametrize(
    "row", [{"b64_json": "?"}, {"seed": "7"}, {"work": None}, {"width": 1.5}, {"score": "good"}]
)
def test_what_is_not_our_wire_is_said(
    server: ScriptedServer, client: Bestiary, row: dict[str, object]
) -> None:
    server.will(image_reply(generated_row(**row)))
    with pytest.raises(UnexpectedReply):
        client.images.sample()


def test_models_tell_of_their_pictures(server: ScriptedServer, client: Bestiary) -> None:
    told = {"family": "gan", "tasks": ["image-discriminate"], "image": {"width": 32}}
    server.will(image_reply(bestiary=told))
    found = client.models.get("a-gan")
    assert (found.family, found.image) == ("gan", {"width": 32})


# Files.


def test_a_picture_is_saved_as_it_came(tmp_path: Path) -> None:
    for name in ("a.png", "a.PNG", "bare"):
        assert GIVEN.save(tmp_path / name).read_bytes() == GIVEN.data


def test_another_suffix_converts(tmp_path: Path) -> None:
    with Image.open(GIVEN.save(tmp_path / "a.jpg")) as opened:
        assert (opened.format, opened.size) == ("JPEG", (SIDE, SIDE))


def test_a_picture_is_opened_when_asked_for() -> None:
    assert GIVEN.image.convert("RGB").getpixel((0, 0)) == (7, 0, 0)


def test_without_pillow_the_bytes_are_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert GIVEN.save(tmp_path / "a.png").read_bytes() == png_once
    with pytest.raises(ConfigurationError, match=r"bestiary-client\[images\]"):
        _ = GIVEN.image


png_once = png(7)


# Streams.


def frames() -> tuple[str, ...]:
    return (
        news(1, preview=picture_row(1)),
        news(1, index=1),
        news(4, image=generated_row(7)),
        news(4, index=1, image=generated_row(8)),
    )


def test_progress_previews_and_pictures_come_in_order(
    server: ScriptedServer, client: Bestiary
) -> None:
    server.will(image_stream(*frames()))
    with client.images.stream_text_to_image("a cat", n=2, previews=1) as stream:
        found = list(stream)
        whole = stream.finish()

    assert server.got[0].body == {
        "model": "auto",
        "prompt": "a cat",
        "stream": True,
        "previews": 1,
        "n": 2,
    }
    progress = [one for one in found if isinstance(one, ImageProgress)]
    assert [(one.index, one.step, one.steps) for one in progress] == [
        (0, 1, 4),
        (1, 1, 4),
        (0, 4, 4),
        (1, 4, 4),
    ]
    assert progress[0].preview is not None
    assert progress[0].preview.data == png(1)
    assert [one.index for one in found if isinstance(one, ImageDone)] == [0, 1]
    assert [one.seed for one in whole] == [7, 8]
    assert whole.usage == ImageUsage(1, 0.4, 25, 50, 2)
    assert whole.receipt == stream.receipt == client.last_receipt is not None


def test_a_stream_without_its_end_is_broken(server: ScriptedServer, client: Bestiary) -> None:
    server.will(image_stream(news(1), news(1, index=1), news(4, image=generated_row())))
    with client.images.stream_sample() as stream, pytest.raises(UnexpectedReply, match="its end"):
        stream.finish()


def test_a_failure_in_mid_stream_is_raised(server: ScriptedServer, client: Bestiary) -> None:
    failure = 'data: {"error": {"message": "gone", "type": "t", "code": "engine_failure"}}\n\n'
    server.will(image_stream(news(1), failure))
    with client.images.stream_sample() as stream, pytest.raises(StreamBroken, match="gone"):
        stream.finish()


def test_leaving_a_stream_hangs_up(server: ScriptedServer, client: Bestiary) -> None:
    server.will(image_stream(*(news(1) for _ in range(500)), pause_s=0.01))
    with client.images.stream_vary(GIVEN) as stream:
        next(iter(stream))
    assert server.hung_up.wait(5)


# Asyncio.


async def test_every_task_waits_without_blocking(server: ScriptedServer) -> None:
    async with AsyncBestiary(base_url=server.url) as client:
        server.will(image_reply(generated_row(7)))
        found = await asyncio.gather(client.images.text_to_image("a"), client.images.vary(GIVEN))
        assert [one[0].data for one in found] == [png(7)] * 2
        server.will(*(image_reply(ROWS[task]) for task in ROWS))
        latents = await client.images.encode(GIVEN)
        assert (await client.images.decode(latents))[0] == GIVEN


async def test_a_stream_is_read_without_blocking(server: ScriptedServer) -> None:
    async with AsyncBestiary(base_url=server.url) as client:
        server.will(image_stream(*frames()))
        async with client.images.stream_sample() as stream:
            steps = [one.step async for one in stream if isinstance(one, ImageProgress)]
            assert [one.seed for one in await stream.finish()] == [7, 8]
    assert steps == [1, 1, 4, 4]


def test_both_twins_have_the_same_methods_with_the_same_words() -> None:
    def public(kind: type) -> dict[str, tuple[str, ...]]:
        return {
            name: tuple(inspect.signature(function).parameters)
            for name, function in vars(kind).items()
            if name[0] != "_"
        }

    assert public(Images) == public(AsyncImages)
