"""OpenAI's image API: generations, edits and variations, whole and streamed."""

from __future__ import annotations

import base64
import io
import json
from types import SimpleNamespace

import pytest
from gateway_fakes import RUNNING, FakeSink, database_url, no_targets
from image_fakes import SIDE, STEPS, ImageDispatcher, image_args, png
from PIL import Image
from starlette.testclient import TestClient

from bestiary.errors import EngineFailure
from bestiary.profile.models import Gateway, Limits
from bestiary.schemas.image import (
    ImageToImageRequest,
    InpaintRequest,
    SampleRequest,
    TextToImageRequest,
    VariationRequest,
)
from bestiary.state.database import Database
from bestiary.state.keys import Keys, KeyScope
from bestiary.state.upgrade import upgrade
from services.gateway.application import Collaborators, gateway_application
from services.gateway.image_store import ImageStore

CAT = {"prompt": "a cat"}
FILE = ("a.png", png(10), "image/png")


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """One database for all: nothing here changes it."""
    folder = tmp_path_factory.mktemp("state")
    upgrade(database_url(folder))
    database = Database(database_url(folder))
    yield Keys(database)
    database.close()


@pytest.fixture
def door(keys, tmp_path):
    args = image_args(Gateway(limits=Limits(max_image_body_mb=1, request_timeout_s=20)))
    router, sink = ImageDispatcher(args), FakeSink()
    secret = keys.create("tests", scopes=[KeyScope.INFERENCE]).secret
    store = ImageStore(tmp_path / "images", max_bytes=10**6, max_age_s=60)
    others = Collaborators(router, lambda: RUNNING, keys.verify, sink, no_targets, store)
    headers = {"authorization": f"Bearer {secret}"}
    with TestClient(gateway_application(args, others), headers=headers) as client:
        yield SimpleNamespace(client=client, router=router, sink=sink)


def generated(door, body):
    response = door.client.post("/v1/images/generations", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def sent(door, path, data, files):
    response = door.client.post(f"/v1/images/{path}", data=data, files=files)
    assert response.status_code == 200, response.text
    [request] = door.router.requests
    return response.json(), request


def refused(response, status=400):
    assert response.status_code == status, response.text
    return response.json()["error"]


def red_of(data):
    with Image.open(io.BytesIO(data)) as opened:
        return opened.convert("RGB").getpixel((0, 0))[0]


def events(text):
    """(name, document) of each event."""
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if line[:1] != ":")
        if lines:
            found.append((lines["event"], json.loads(lines["data"])))
    return found


def test_a_prompt_becomes_pictures(door):
    said = generated(door, {**CAT, "n": 2, "seed": 30})

    assert [red_of(base64.b64decode(one["b64_json"])) for one in said["data"]] == [30, 31]
    assert [one["bestiary"]["seed"] for one in said["data"]] == [30, 31]
    assert (said["size"], said["output_format"], said["background"]) == (
        f"{SIDE}x{SIDE}",
        "png",
        "opaque",
    )
    assert isinstance(said["created"], int)
    assert said["usage"]["total_tokens"] == 0
    assert (said["usage"]["images"], said["usage"]["evaluations"]) == (2, 4 * STEPS)
    [request] = door.router.requests
    assert isinstance(request, TextToImageRequest)
    assert (request.prompt.text, request.width, request.height) == ("a cat", None, None)
    assert door.router.routes[0].model == "auto"


@pytest.mark.parametrize("size", [None, "auto", f"{SIDE}x{SIDE}"])
def test_what_asks_for_nothing_more_is_taken(door, size):
    neutral = {
        "quality": "auto",
        "background": "opaque",
        "moderation": "low",
        "style": None,
        "output_compression": 100,
        "user": "me",
    }
    generated(door, {**CAT, **neutral, "size": size, "model": "tiny-painter"})
    assert door.router.requests[0].width in (None, SIDE)


def test_extensions_reach_the_model(door):
    more = {"negative_prompt": "dogs", "steps": 6, "guidance_scale": 4, "sampler": "euler"}
    generated(door, {**CAT, **more, "best_of": 2})
    [request] = door.router.requests
    assert (request.prompt.negative, request.denoising.steps, request.best_of) == ("dogs", 6, 2)


def test_a_url_opens_without_a_header(door):
    [entry] = generated(door, {**CAT, "seed": 5, "response_format": "url"})["data"]
    got = door.client.get(entry["url"], headers={"authorization": ""})
    assert red_of(got.content) == 5


@pytest.mark.parametrize(("prompt", "label"), [("", None), (" ", None), ("cat", "Cat")])
def test_a_model_of_classes_takes_a_class_for_a_prompt(door, prompt, label):
    generated(door, {"prompt": prompt, "model": "tiny-gan"})
    [request] = door.router.requests
    assert isinstance(request, SampleRequest)
    assert request.label == label


def test_a_canary_keeps_a_user_on_one_side(door):
    door.client.post("/v1/images/generations", json={**CAT, "user": "a"})
    assert door.router.routes[-1].stickiness.endswith(":a")


def test_what_is_no_class_is_refused_with_the_classes(door):
    body = {"prompt": "a cat on a mat", "model": "tiny-gan"}
    error = refused(door.client.post("/v1/images/generations", json=body))
    assert error["param"] == "prompt"
    assert "Cat, Dog" in error["message"]


def test_a_mask_says_what_is_made_anew(door):
    files = {"image": FILE, "mask": ("m.png", png(20), "image/png")}
    fields = {"prompt": "a hat", "n": "2", "seed": "3"}
    said, request = sent(door, "edits", fields, files)
    assert isinstance(request, InpaintRequest)
    assert (request.image.data, request.mask.data) == (png(10), png(20))
    assert (request.prompt.text, request.images, request.strength) == ("a hat", 2, 1.0)
    assert len(said["data"]) == 2


@pytest.mark.parametrize("name", ["image", "image[]"])
def test_without_a_mask_the_whole_picture_is(door, name):
    fields = {"prompt": "a hat", "strength": "0.5", "size": f"{SIDE}x{SIDE}"}
    _, request = sent(door, "edits", fields, [(name, FILE)])
    assert isinstance(request, ImageToImageRequest)
    assert (request.prompt.text, request.strength) == ("a hat", 0.5)


def test_a_picture_is_varied(door):
    said, request = sent(door, "variations", {"n": "3", "response_format": "url"}, {"image": FILE})
    assert isinstance(request, VariationRequest)
    assert (request.images, request.strength) == (3, 0.5)
    assert len({one["url"] for one in said["data"]}) == 3


def test_edits_may_come_as_json_too(door):
    body = {"image": base64.b64encode(png(10)).decode(), "prompt": "a hat"}
    assert door.client.post("/v1/images/edits", json=body).status_code == 200


def test_pictures_on_the_way_are_named_events(door):
    body = {**CAT, "stream": True, "partial_images": 2, "seed": 5}
    response = door.client.post("/v1/images/generations", json=body)

    assert response.headers["content-type"].startswith("text/event-stream")
    assert "[DONE]" not in response.text
    found = events(response.text)
    assert [(name, one["type"]) for name, one in found] == [
        ("image_generation.partial_image",) * 2,
        ("image_generation.partial_image",) * 2,
        ("image_generation.completed",) * 2,
    ]
    partials = [one for _, one in found[:2]]
    assert [one["partial_image_index"] for one in partials] == [0, 1]
    assert {red_of(base64.b64decode(one["b64_json"])) for one in partials} == {6}
    last = found[-1][1]
    assert red_of(base64.b64decode(last["b64_json"])) == 5
    assert (last["size"], last["quality"], last["output_format"]) == ("8x8", "auto", "png")
    assert last["usage"]["evaluations"] == 2 * STEPS
    assert ": bestiary-receipt " in response.text


def test_every_picture_of_a_stream_is_completed_and_the_last_has_the_receipt(door):
    body = {**CAT, "stream": True, "n": 3}
    headers = {"x-bestiary-receipt": "body"}
    response = door.client.post("/v1/images/generations", json=body, headers=headers)
    found = [one for _, one in events(response.text)]
    assert [one["image_index"] for one in found] == [0, 1, 2]
    assert ["bestiary" in one for one in found] == [False, False, True]


def test_an_edits_events_have_its_own_name(door):
    fields = {"prompt": "a hat", "stream": "true", "partial_images": "1"}
    response = door.client.post("/v1/images/edits", data=fields, files={"image": FILE})
    names = [name for name, _ in events(response.text)]
    assert names == ["image_edit.partial_image", "image_edit.completed"]


def test_a_failure_in_mid_stream_is_an_event(door):
    door.router.fail_at, door.router.failure = 1, EngineFailure("the engine broke")
    body = {**CAT, "stream": True}
    found = events(door.client.post("/v1/images/generations", json=body).text)
    assert [(name, one["error"]["code"]) for name, one in found] == [("error", "engine_failure")]
    assert door.router.drawings[0].closed == 1


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({}, "prompt", "invalid_request"),
        ({"prompt": None}, "prompt", "invalid_request"),
        ({**CAT, "n": 0}, "n", "invalid_request"),
        ({**CAT, "n": "1"}, "n", "invalid_request"),
        ({**CAT, "size": "large"}, "size", "invalid_request"),
        ({**CAT, "size": "0x8"}, "size", "invalid_request"),
        ({**CAT, "size": "9999x8"}, "size", "invalid_request"),
        ({**CAT, "size": "64x64"}, "size", "unsupported_parameter"),
        ({**CAT, "response_format": "png"}, "response_format", "invalid_request"),
        ({**CAT, "output_format": "jpeg"}, "output_format", "invalid_request"),
        ({**CAT, "partial_images": 4, "stream": True}, "partial_images", "invalid_request"),
        ({**CAT, "partial_images": 1}, "partial_images", "invalid_request"),
        (
            {**CAT, "stream": True, "response_format": "url"},
            "response_format",
            "invalid_request",
        ),
        ({**CAT, "quality": "high"}, "quality", "unsupported_parameter"),
        ({**CAT, "style": "vivid"}, "style", "unsupported_parameter"),
        ({**CAT, "background": "transparent"}, "background", "unsupported_parameter"),
        ({**CAT, "colour": "red"}, "colour", "invalid_request"),
        ({**CAT, "model": "tiny-vae"}, "model", "unsupported_parameter"),
        ({**CAT, "model": "gecko"}, "model", "unsupported_parameter"),
        ({**CAT, "steps": 0}, "steps", "invalid_request"),
        ({**CAT, "strength": 0.5}, "strength", "invalid_request"),
    ],
)
def test_bad_input_names_its_field(door, body, param, code):
    error = refused(door.client.post("/v1/images/generations", json=body))
    assert (error["type"], error["param"], error["code"]) == (
        "invalid_request_error",
        param,
        code,
    )


@pytest.mark.parametrize(
    ("fields", "files", "param"),
    [
        ({"prompt": "a"}, [("mask", FILE)], "image"),
        ({"prompt": "a"}, [("image[]", FILE), ("image[]", FILE)], "image"),
        ({"prompt": "a", "n": "many"}, [("image", FILE)], "n"),
        ({"prompt": "a", "size": "64x64"}, [("image", FILE)], "size"),
        ({"prompt": "a", "strength": "2"}, [("image", FILE)], "strength"),
        ({"negative_prompt": "a"}, [("image", FILE)], "negative_prompt"),
        ({"prompt": "a", "input_fidelity": "high"}, [("image", FILE)], "input_fidelity"),
        ({"prompt": "a"}, [("image", ("a.png", b"GIF89a", "image/png"))], "image"),
        ({"prompt": "a"}, [("image", FILE), ("mask", ("m", b"?", "image/png"))], "mask"),
    ],
)
def test_a_bad_edit_names_its_field(door, fields, files, param):
    response = door.client.post("/v1/images/edits", data=fields, files=files)
    assert refused(response)["param"] == param


def test_an_unknown_model_is_not_found(door):
    response = door.client.post("/v1/images/generations", json={**CAT, "model": "dall-e-9"})
    assert refused(response, 404)["code"] == "model_not_found"


def test_a_request_past_its_deadline_is_told_and_closed(door):
    door.router.stall_after = 2
    headers = {"x-bestiary-timeout": "0.2"}
    response = door.client.post("/v1/images/generations", json=CAT, headers=headers)
    assert response.status_code == 504
    assert door.router.drawings[0].closed == 1


def test_its_metrics_are_openais(door):
    generated(door, {**CAT, "n": 2})
    [(pictures, tags)] = door.sink.values["bestiary_images_total"]
    assert (pictures, tags["dialect"], tags["model"]) == (2, "openai", "tiny-painter")
