"""Every task of images once, on real weights, through the whole stack.

Each test is skipped where the profile serves no model that can do its task. The first request of a
model waits for the start of its replica: those scale to zero.
"""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
from bestiary_client import Bestiary, ImageDone, ImageProgress
from PIL import Image, ImageDraw

pytestmark = pytest.mark.serve


@pytest.fixture
def sdk(platform):
    with Bestiary(base_url=platform.url, api_key=platform.key, timeout=300) as client:
        yield client


def able(sdk, task):
    """A model that can do it; else the test is skipped."""
    for model in sdk.models.list():
        if task in model.tasks and model.kind == "card":
            return model
    pytest.skip(f"no model of this profile can do {task}")


def drawing(side=64, colour="red"):
    """A disc on white, as a PNG file's bytes."""
    image = Image.new("RGB", (side, side), "white")
    ImageDraw.Draw(image).ellipse((side // 4, side // 4, 3 * side // 4, 3 * side // 4), colour)
    held = io.BytesIO()
    image.save(held, "png")
    return held.getvalue()


def noise(side=64):
    held = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(held, "png")
    return held.getvalue()


def pixels(picture):
    return np.asarray(picture.image.convert("RGB"), dtype=np.float32)


@pytest.mark.parametrize("kind", ["vae", "gan", "autoregressive", "diffusion"])
def test_every_kind_makes_the_same_pictures_of_the_same_seed(sdk, kind):
    able(sdk, "unconditional-image-generation")
    models = [
        one
        for one in sdk.models.list()
        if one.family == kind
        and one.kind == "card"
        and "unconditional-image-generation" in one.tasks
    ]
    if not models:
        pytest.skip(f"no {kind} of this profile makes pictures of nothing in particular")
    for model in models:
        found = sdk.images.sample(model=model.id, n=2, seed=7)
        again = sdk.images.sample(model=model.id, seed=8)
        assert [one.seed for one in found] == [7, 8]
        assert again[0].data == found[1].data, model.id
        assert (found[0].width, found[0].height) == (model.image["width"], model.image["height"])
        assert found[0].data != found[1].data
        assert all(one.work.evaluations >= 1 for one in found)
        assert pixels(found[0]).std() > 1


def test_a_prompt_becomes_a_picture_whole_or_in_steps(sdk):
    model = able(sdk, "text-to-image")
    whole = sdk.images.text_to_image("red heart", model=model.id, seed=3, steps=8)
    with sdk.images.stream_text_to_image(
        "red heart", model=model.id, seed=3, steps=8, previews=3
    ) as stream:
        events = list(stream)
    progress = [one for one in events if isinstance(one, ImageProgress)]
    [done] = [one for one in events if isinstance(one, ImageDone)]
    assert done.image.data == whole[0].data
    assert [one.step for one in progress] == sorted({one.step for one in progress})
    assert 1 <= len([one for one in progress if one.preview is not None]) <= 3


def test_what_the_mask_spares_stays(sdk):
    model = able(sdk, "inpainting")
    side = model.image["width"]
    mask = Image.new("L", (side, side), 0)
    ImageDraw.Draw(mask).rectangle((0, 0, side // 2, side), 255)
    given = drawing(side)
    [found] = sdk.images.inpaint(given, mask, "a heart", model=model.id, seed=1, steps=8)
    before = np.asarray(Image.open(io.BytesIO(given)).convert("RGB"), dtype=np.float32)
    spared = np.asarray(mask) == 0
    assert np.array_equal(pixels(found)[spared], before[spared])
    assert not np.array_equal(pixels(found)[~spared], before[~spared])


def test_little_strength_changes_little(sdk):
    model = able(sdk, "image-to-image")
    given = drawing(model.image["width"])
    before = np.asarray(Image.open(io.BytesIO(given)).convert("RGB"), dtype=np.float32)
    distances = []
    for strength in (0.2, 1.0):
        [found] = sdk.images.image_to_image(
            given, "a face", model=model.id, strength=strength, seed=1, steps=10
        )
        distances.append(np.abs(pixels(found) - before).mean())
    assert distances[0] < distances[1]


def test_a_picture_comes_back_larger(sdk):
    model = able(sdk, "super-resolution")
    [found] = sdk.images.super_resolve(drawing(16), model=model.id, seed=1)
    assert (found.width, found.height) == (16 * model.image["scale"],) * 2


def test_latents_lead_back_to_the_picture(sdk):
    model = able(sdk, "image-reconstruct")
    given = drawing(model.image["width"])
    [rebuilt] = sdk.images.reconstruct(given, model=model.id)
    decoded = sdk.images.decode(sdk.images.encode(given, model=model.id), model=model.id)
    assert rebuilt.psnr > 10
    assert np.abs(pixels(decoded[0]) - pixels(rebuilt)).mean() < 2
    frames = sdk.images.interpolate(given, drawing(64, "blue"), frames=5, model=model.id)
    assert len(frames) == 5


def test_a_discriminator_has_an_opinion(sdk):
    model = able(sdk, "image-discriminate")
    found = sdk.images.discriminate([drawing(), noise()], model=model.id)
    assert all(0 <= one.probability <= 1 for one in found)


def test_noise_is_less_likely_than_a_drawing(sdk):
    model = able(sdk, "image-likelihood")
    drawn, random = sdk.images.likelihood([drawing(), noise()], model=model.id)
    assert drawn.bits_per_dimension < random.bits_per_dimension


def test_a_picture_is_gone_on_with(sdk):
    model = able(sdk, "image-completion")
    side = model.image["width"]
    found = sdk.images.complete(drawing(side), keep=0.5, n=2, seed=1, model=model.id)
    top = [pixels(one)[: side // 2] for one in found]
    assert np.array_equal(top[0], top[1])


def test_structure_is_destroyed_and_restored(sdk):
    model = able(sdk, "image-noise")
    found = sdk.images.noise(drawing(), [0, 100, 900], model=model.id, seed=1)
    assert found[0].snr > found[1].snr > found[2].snr
    prompt = "red heart" if "text-to-image" in model.tasks else None
    way = sdk.images.trajectory(prompt, model=model.id, frames=4, steps=8, seed=1)
    assert [one.step for one in way] == sorted(one.step for one in way)
    assert way[0].denoised is None
    assert way.result.width == model.image["width"]


def test_the_command_line_writes_a_file_once(platform, sdk, tmp_path):
    able(sdk, "unconditional-image-generation")
    target = tmp_path / "made.png"
    arguments = ("image", "sample", "--seed", "7", "-o", str(target))
    done = platform.command(*arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(target)]
    again = platform.command(*arguments)
    assert again.returncode == 1
    assert "--force" in again.stderr


def test_a_url_opens_without_a_key(platform, sdk):
    able(sdk, "unconditional-image-generation")
    with platform.client() as client:
        body = {"seed": 7, "response_format": "url"}
        [entry] = client.post("/v1/images/sample", json=body).json()["data"]
        got = client.get(entry["url"], headers={"authorization": ""})
    assert got.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(got.content)).text["bestiary"]


def test_leaving_a_stream_stops_the_denoising(sdk):
    model = able(sdk, "text-to-image")
    with sdk.images.stream_text_to_image("a cat", model=model.id, n=4, steps=200) as stream:
        next(iter(stream))
    began = time.monotonic()
    sdk.images.text_to_image("a cat", model=model.id, steps=2)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("given", "code"),
    [(b"GIF89a", "image_unreadable"), (drawing()[:200], "image_unreadable")],
)
def test_what_is_no_whole_picture_is_refused(platform, sdk, given, code):
    able(sdk, "super-resolution")
    with platform.client() as client:
        files = {"image": ("a.png", given, "image/png")}
        reply = client.post("/v1/images/super-resolve", files=files)
    assert reply.status_code == 400, reply.text
    assert (reply.json()["error"]["code"], reply.json()["error"]["param"]) == (code, "image")
