"""The native image tasks: what each answers, which model does, what is refused, where URLs lead."""

from __future__ import annotations

import base64
import io
import json
import os
from types import SimpleNamespace

import numpy as np
import pytest
from gateway_fakes import RUNNING, FakeSink, database_url, no_targets
from image_fakes import CARDS, SIDE, STEPS, ImageDispatcher, image_args, png
from PIL import Image
from starlette.testclient import TestClient

from bestiary.errors import EngineFailure, Overloaded
from bestiary.profile.models import Gateway, Limits
from bestiary.state.database import Database
from bestiary.state.keys import Keys, KeyScope
from bestiary.state.upgrade import upgrade
from services.gateway.application import Collaborators, gateway_application
from services.gateway.dialects.native_image_tasks import ASK_TASKS, DRAW_TASKS
from services.gateway.image_store import ImageStore

NOW = 1_700_000_000.0


def b64(red=10, side=SIDE):
    return base64.b64encode(png(red, side)).decode()


ONE = {"image": b64(10)}
MINIMAL = {
    "/sample": {},
    "/text-to-image": {"prompt": "a cat"},
    "/image-to-image": ONE,
    "/inpaint": {"image": b64(10), "mask": b64(255)},
    "/super-resolve": ONE,
    "/vary": ONE,
    "/complete": ONE,
    "/encode": {"images": [b64(10)]},
    "/decode": {"latents": [[[[1.0, 2.0]]]]},
    "/reconstruct": {"images": [b64(10)]},
    "/interpolate": {"seeds": [0, 9]},
    "/discriminate": {"images": [b64(255)]},
    "/likelihood": {"images": [b64(20)]},
    "/noise": {"image": b64(10), "timesteps": [0, 5]},
    "/trajectory": {},
}
DRAWING = [task.path for task in DRAW_TASKS]


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """One database for all: nothing here changes it."""
    folder = tmp_path_factory.mktemp("state")
    upgrade(database_url(folder))
    database = Database(database_url(folder))
    yield Keys(database)
    database.close()


@pytest.fixture
def limits():
    return Limits(max_body_mb=0.25, max_image_body_mb=1, request_timeout_s=20)


@pytest.fixture
def clock():
    return SimpleNamespace(now=NOW)


@pytest.fixture
def store(tmp_path, clock):
    return ImageStore(tmp_path / "images", max_bytes=10_000, max_age_s=60, clock=lambda: clock.now)


@pytest.fixture
def door(keys, limits, store):
    args = image_args(Gateway(limits=limits))
    router, sink = ImageDispatcher(args), FakeSink()
    secret = keys.create("tests", scopes=[KeyScope.INFERENCE]).secret
    others = Collaborators(router, lambda: RUNNING, keys.verify, sink, no_targets, store)
    headers = {"authorization": f"Bearer {secret}"}
    app = gateway_application(args, others)
    with TestClient(app, headers=headers) as client:
        yield SimpleNamespace(client=client, router=router, sink=sink, app=app, store=store)


def answer(door, path, body):
    response = door.client.post(f"/v1/images{path}", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def refused(door, path, body, status=400):
    response = door.client.post(f"/v1/images{path}", json=body)
    assert response.status_code == status, response.text
    return response.json()["error"]


def red_of(data):
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.size == (SIDE, SIDE)
        return opened.convert("RGB").getpixel((0, 0))[0]


def red(entry):
    return red_of(base64.b64decode(entry["b64_json"]))


def events(response):
    """The documents of a stream, and whether it says that it is done."""
    lines = [line[6:] for line in response.text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"], lines[-1] == "[DONE]"


def test_every_task_has_a_minimal_request_here():
    assert {task.path for task in (*DRAW_TASKS, *ASK_TASKS)} == MINIMAL.keys()


# What a task answers.


@pytest.mark.parametrize(
    ("path", "method", "model"),
    [
        ("/sample", "generate_images", "tiny-gan"),
        ("/text-to-image", "generate_images", "tiny-painter"),
        ("/image-to-image", "generate_images", "tiny-painter"),
        ("/inpaint", "generate_images", "tiny-painter"),
        ("/super-resolve", "generate_images", "tiny-lens"),
        ("/vary", "generate_images", "tiny-painter"),
        ("/complete", "generate_images", "tiny-pixels"),
        ("/encode", "encode_image", "tiny-vae"),
        ("/decode", "decode_image", "tiny-vae"),
        ("/reconstruct", "reconstruct", "tiny-vae"),
        ("/interpolate", "interpolate", "tiny-vae"),
        ("/discriminate", "discriminate", "tiny-gan"),
        ("/likelihood", "likelihood", "tiny-pixels"),
        ("/noise", "noise", "tiny-painter"),
        ("/trajectory", "trajectory", "tiny-painter"),
    ],
)
@pytest.mark.parametrize("named", [{}, {"model": None}, {"model": "auto"}])
def test_without_a_name_the_first_model_that_can_answers(door, path, method, model, named):
    said = answer(door, path, {**MINIMAL[path], **named})

    assert said["model"] == model
    assert door.router.asked == [method]


@pytest.mark.parametrize("path", MINIMAL)
def test_a_reply_says_who_answered_and_what_it_cost(door, path):
    headers = {"x-request-id": "r-1"}
    response = door.client.post(f"/v1/images{path}", json=MINIMAL[path], headers=headers)

    said = response.json()
    assert (said["id"], said["object"]) == ("r-1", "list")
    assert said["usage"]["images"] >= 1
    assert said["usage"]["seconds"] > 0
    assert response.headers["x-bestiary-model"] == said["model"]
    assert "decode" in response.headers["server-timing"]


@pytest.mark.parametrize("path", DRAWING)
def test_pictures_come_with_their_seeds_and_their_cost(door, path):
    said = answer(door, path, {**MINIMAL[path], "n": 2, "seed": 40})

    assert [(one["index"], one["seed"], red(one)) for one in said["data"]] == [
        (0, 40, 40),
        (1, 41, 41),
    ]
    assert said["data"][0]["work"] == {
        "steps": STEPS,
        "evaluations": 2 * STEPS,
        "cached_steps": 1,
        "seconds": 0.25,
    }
    assert (said["data"][0]["format"], said["data"][0]["width"]) == ("png", SIDE)
    assert said["usage"] == {
        "images": 2,
        "steps": 2 * STEPS,
        "evaluations": 4 * STEPS,
        "cached_steps": 2,
        "seconds": 0.5,
    }
    assert "score" not in said["data"][0]


def test_the_best_of_several_comes_with_all_scores(door):
    [entry] = answer(door, "/text-to-image", {"prompt": "a", "best_of": 3})["data"]
    assert (entry["score"], entry["scores"]) == (0.5, [0.0, 0.1, 0.2])


def test_everything_that_is_said_of_denoising_reaches_the_model(door):
    said = {
        "steps": 6,
        "sampler": "unipc",
        "eta": 0.5,
        "guidance_scale": 4,
        "guidance_share": 0.5,
        "guidance_every": 2,
        "cache_threshold": 0.25,
    }
    answer(door, "/text-to-image", {"prompt": "a", "negative_prompt": "b", **said})
    [request] = door.router.requests
    assert request.denoising.model_dump(mode="json") == said
    assert (request.prompt.text, request.prompt.negative) == ("a", "b")


def test_what_is_not_said_is_the_models_own(door):
    answer(door, "/sample", {})
    [request] = door.router.requests
    assert request.denoising.steps is None
    assert request.truncation is None
    assert (request.images, request.best_of, request.previews) == (1, 1, 0)


def test_latents_of_a_gan_are_added_up(door):
    answer(door, "/sample", {"latent_terms": [[1, 1], [2, -1], [3, 1.5]], "truncation": 2})
    [request] = door.router.requests
    assert request.latent_terms == ((1, 1.0), (2, -1.0), (3, 1.5))


def test_a_picture_arrives_as_it_was_sent(door):
    answer(door, "/inpaint", {"image": b64(10), "mask": b64(20)})
    [request] = door.router.requests
    assert (request.image.data, request.mask.data) == (png(10), png(20))


def test_a_picture_may_be_a_data_url(door):
    answer(door, "/vary", {"image": f"data:image/png;base64,{b64(10)}"})
    assert door.router.requests[0].image.data == png(10)


def test_a_form_with_files_is_the_same_request(door):
    fields = {"prompt": "5", "steps": "3", "guidance_scale": "2.5", "n": "2", "strength": "0.5"}
    files = {"image": ("a.png", png(10), "image/png")}
    response = door.client.post("/v1/images/image-to-image", data=fields, files=files)

    assert response.status_code == 200, response.text
    [request] = door.router.requests
    assert (request.image.data, request.prompt.text, request.images) == (png(10), "5", 2)
    assert (request.denoising.steps, request.denoising.guidance_scale) == (3, 2.5)


@pytest.mark.parametrize("name", ["images", "images[]"])
@pytest.mark.parametrize("count", [1, 2])
def test_a_form_may_have_several_files(door, name, count):
    files = [(name, ("a.png", png(n), "image/png")) for n in range(count)]
    response = door.client.post("/v1/images/discriminate", files=files)
    assert len(response.json()["data"]) == count


def test_pictures_are_encoded_and_decoded_again(door):
    entries = answer(door, "/encode", {"images": [b64(10), b64(20)]})["data"]
    assert [entry["shape"] for entry in entries] == [[2, 2, 2]] * 2

    said = answer(door, "/decode", {"latents": [entry["latent"] for entry in entries]})
    assert [red(entry) for entry in said["data"]] == [10, 20]


def test_packed_latents_are_the_same_numbers(door):
    body = {"images": [b64(10)], "encoding_format": "base64"}
    [entry] = answer(door, "/encode", body)["data"]
    assert np.frombuffer(base64.b64decode(entry["latent"]), "<f4").tolist() == [10.0] * 8

    said = answer(door, "/decode", {"latents": [entry["latent"]], "shape": entry["shape"]})
    assert red(said["data"][0]) == 10


def test_what_nothing_was_lost_of_has_no_psnr(door):
    [entry] = answer(door, "/reconstruct", MINIMAL["/reconstruct"])["data"]
    assert (red(entry), entry["mse"], entry["psnr"], entry["ssim"]) == (10, 0.0, None, 1.0)


def test_from_one_picture_to_another(door):
    body = {"images": [b64(0), b64(40)], "frames": 5}
    assert [red(one) for one in answer(door, "/interpolate", body)["data"]] == [0, 10, 20, 30, 40]


def test_a_discriminator_says_how_sure_it_is(door):
    entries = answer(door, "/discriminate", {"images": [b64(255), b64(0)]})["data"]
    assert [(one["probability"], one["is_real"]) for one in entries] == [(1.0, True), (0.0, False)]
    assert entries[0]["calibrated"] is True


def test_likelihood_is_in_bits_and_by_row(door):
    [entry] = answer(door, "/likelihood", MINIMAL["/likelihood"])["data"]
    assert entry == {
        "index": 0,
        "log_likelihood": -20.0,
        "bits_per_dimension": 2.0,
        "dimensions": 192,
        "per_row": [0.5, 1.5],
    }


def test_noised_pictures_have_their_signal_to_noise(door):
    said = answer(door, "/noise", {**MINIMAL["/noise"], "seed": 3})
    assert [(one["timestep"], one["snr"], red(one)) for one in said["data"]] == [
        (0, None, 10),
        (5, 0.2, 15),
    ]
    assert said["seed"] == 3


def test_a_trajectory_has_its_frames_and_its_end(door):
    said = answer(door, "/trajectory", {"frames": 3})
    assert [(one["step"], red(one)) for one in said["data"]] == [(0, 0), (1, 1), (2, 2)]
    assert said["data"][0]["denoised"] is None
    assert red(said["data"][1]["denoised"]) == 2
    assert (red(said["image"]), said["image"]["work"]["evaluations"]) == (99, 8)


@pytest.mark.parametrize("path", ["/sample", "/noise", "/interpolate"])
def test_webp_where_asked_for(door, path):
    [first, *_] = answer(door, path, {**MINIMAL[path], "format": "webp"})["data"]
    assert first["format"] == "webp"
    assert base64.b64decode(first["b64_json"])[8:12] == b"WEBP"


def test_a_receipt_comes_in_the_body_where_asked_for(door):
    headers = {"x-bestiary-receipt": "body"}
    response = door.client.post("/v1/images/sample", json={}, headers=headers)
    assert response.json()["bestiary"]["receipt"]["total"] > 0


def test_models_tell_their_kind_their_tasks_and_what_they_make(door):
    models = {one["id"]: one["bestiary"] for one in door.client.get("/v1/models").json()["data"]}
    assert {name: models[card.id]["family"] for name, card in CARDS.items()} == {
        "coder": "vae",
        "forger": "gan",
        "scanner": "autoregressive",
        "painter": "diffusion",
        "lens": "diffusion",
    }
    assert "text-to-image" in models["tiny-painter"]["tasks"]
    assert models["tiny-painter"]["image"]["denoising"]["sampler"] == "dpm++"
    assert models["tiny-gan"]["image"]["classes"] == ["Cat", "Dog"]
    assert models["tiny-gan"]["image"]["figures"] == {"psnr": 30.5}
    assert (models["tiny-gan"]["image"]["width"], "denoising" in models["tiny-gan"]["image"]) == (
        SIDE,
        False,
    )
    assert "image" not in models["gecko"]


# URLs.


def test_a_url_opens_without_a_key(door):
    [entry] = answer(door, "/sample", {"seed": 5, "response_format": "url"})["data"]
    assert "b64_json" not in entry

    with TestClient(door.app) as stranger:
        got = stranger.get(entry["url"])
        assert stranger.head(entry["url"]).status_code == 200
    assert red_of(got.content) == 5
    assert got.headers["content-type"] == "image/png"
    assert got.headers["x-content-type-options"] == "nosniff"


def test_every_picture_of_an_answer_has_a_url_of_its_own(door):
    said = answer(door, "/trajectory", {"frames": 3, "response_format": "url", "format": "webp"})
    urls = {one["url"] for one in (*said["data"], said["image"], said["data"][1]["denoised"])}
    assert len(urls) == 5
    assert all(url.startswith("http://testserver/v1/images/files/") for url in urls)
    got = door.client.get(said["image"]["url"])
    assert (red_of(got.content), got.headers["content-type"]) == (99, "image/webp")


def test_a_profile_may_say_what_the_gateway_is_reached_under(keys, store):
    args = image_args(Gateway(public_url="https://pictures.example/api/"))
    others = Collaborators(
        ImageDispatcher(args), lambda: RUNNING, keys.verify, FakeSink(), no_targets, store
    )
    headers = {"authorization": f"Bearer {keys.create('t', scopes=[KeyScope.INFERENCE]).secret}"}
    with TestClient(gateway_application(args, others), headers=headers) as client:
        said = client.post("/v1/images/sample", json={"response_format": "url"}).json()
    assert said["data"][0]["url"].startswith("https://pictures.example/api/v1/images/files/")


def test_a_url_closes_after_a_while(door, clock):
    [entry] = answer(door, "/sample", {"response_format": "url"})["data"]
    clock.now += 59
    assert "max-age=1" in door.client.get(entry["url"]).headers["cache-control"]
    clock.now += 2
    gone = door.client.get(entry["url"])
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "name",
    [
        "../state.db",
        "..%2fstate.db",
        "%2e%2e/state.db",
        "..%5cstate.db",
        "/etc/passwd",
        "secret.png",
        "%00.png",
        f"{'0' * 64}.png",
        f"{'0' * 64}.svg",
        f"{'0' * 64}.png.part",
    ],
)
def test_no_other_file_can_be_had(door, name, store, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "secret.png").write_bytes(b"secret")
    (tmp_path / "images" / f"{'0' * 64}.png.part").write_bytes(b"secret")
    response = door.client.get(f"/v1/images/files/{name}")
    assert response.status_code == 404
    assert b"secret" not in response.content


# Streams.


@pytest.mark.parametrize("path", DRAWING)
def test_a_stream_ends_in_what_the_whole_answer_says(door, path):
    body = {**MINIMAL[path], "n": 2, "seed": 40}
    whole = answer(door, path, body)
    body |= {"stream": True, "previews": 2}
    response = door.client.post(f"/v1/images{path}", json=body)

    documents, done = events(response)
    *news, last = documents
    assert response.headers["content-type"].startswith("text/event-stream")
    assert done
    for entry in whole["data"]:
        own = [one for one in news if one["index"] == entry["index"]]
        assert [one["step"] for one in own] == [1, 2, 3, 4]
        assert {one["steps"] for one in own} == {STEPS}
        assert len([one for one in own if "preview" in one]) == 2
        assert {**own[-1]["image"], "index": entry["index"]} == entry
    assert last["usage"] == whole["usage"]
    assert {one["model"] for one in documents} == {whole["model"]}
    assert ": bestiary-receipt " in response.text


def test_a_failure_in_mid_stream_is_an_event_without_an_end(door):
    door.router.fail_at, door.router.failure = 1, EngineFailure("the engine broke")
    documents, done = events(door.client.post("/v1/images/sample", json={"stream": True}))
    assert not done
    assert documents[-1]["error"]["code"] == "engine_failure"
    assert door.router.drawings[0].closed == 1


def test_a_refusal_before_the_first_news_has_its_own_status(door):
    door.router.refusal = Overloaded("full", 3.0)
    response = door.client.post("/v1/images/sample", json={"stream": True})
    assert (response.status_code, response.headers["retry-after"]) == (429, "3")


@pytest.mark.parametrize("stream", [True, False])
def test_a_request_past_its_deadline_says_so_and_is_closed(door, stream):
    door.router.stall_after = 1
    headers = {"x-bestiary-timeout": "0.2"}
    response = door.client.post("/v1/images/sample", json={"stream": stream}, headers=headers)
    assert "deadline_exceeded" in response.text
    assert door.router.drawings[0].closed == 1


# What is refused.


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/sample", {"n": 0}, "n"),
        ("/sample", {"n": 65}, "n"),
        ("/sample", {"n": "2"}, "n"),
        ("/sample", {"best_of": 65}, "best_of"),
        ("/sample", {"seed": -1}, "seed"),
        ("/sample", {"seed": 2**63}, "seed"),
        ("/sample", {"steps": 0}, "steps"),
        ("/sample", {"steps": 1001}, "steps"),
        ("/sample", {"sampler": "magic"}, "sampler"),
        ("/sample", {"guidance_scale": 101}, "guidance_scale"),
        ("/sample", {"guidance_share": 2}, "guidance_share"),
        ("/sample", {"guidance_every": 0}, "guidance_every"),
        ("/sample", {"cache_threshold": -0.5}, "cache_threshold"),
        ("/sample", {"eta": 1.5}, "eta"),
        ("/sample", {"format": "jpeg"}, "format"),
        ("/sample", {"format": "gif"}, "format"),
        ("/sample", {"response_format": "b64"}, "response_format"),
        ("/sample", {"width": 0}, "width"),
        ("/sample", {"height": 4097}, "height"),
        ("/sample", {"truncation": 0}, "truncation"),
        ("/sample", {"temperature": 3}, "temperature"),
        ("/sample", {"top_k": -1}, "top_k"),
        ("/sample", {"latent_terms": [[1]]}, "latent_terms[0]"),
        ("/sample", {"latent_terms": [[0.5, 1]]}, "latent_terms[0][0]"),
        ("/sample", {"model": ""}, "model"),
        ("/sample", {"prompt": "a cat"}, "prompt"),
        ("/sample", {"previews": 2}, "previews"),
        ("/sample", {"previews": 65, "stream": True}, "previews"),
        ("/sample", {"stream": True, "response_format": "url"}, "response_format"),
        ("/text-to-image", {}, "prompt"),
        ("/text-to-image", {"prompt": 5}, "prompt"),
        ("/text-to-image", {"prompt": "a" * 4001}, "prompt"),
        ("/text-to-image", {"prompt": "a", "negative_prompt": "a" * 4001}, "negative_prompt"),
        ("/image-to-image", {}, "image"),
        ("/image-to-image", {"image": "not base64!"}, "image"),
        ("/image-to-image", {"image": ""}, "image"),
        ("/image-to-image", {"image": 5}, "image"),
        ("/image-to-image", {"image": "https://example.org/a.png"}, "image"),
        ("/image-to-image", {"image": "data:image/png,abc"}, "image"),
        ("/image-to-image", {**ONE, "strength": 0}, "strength"),
        ("/image-to-image", {**ONE, "negative_prompt": "b"}, "negative_prompt"),
        ("/inpaint", ONE, "mask"),
        ("/vary", {**ONE, "prompt": "a"}, "prompt"),
        ("/complete", {**ONE, "keep": 1}, "keep"),
        ("/encode", {"images": []}, "images"),
        ("/encode", {"images": [b64(1, 1)] * 65}, "images"),
        ("/encode", {"images": [b64(), "?"]}, "images[1]"),
        ("/decode", {"latents": []}, "latents"),
        ("/decode", {"latents": [[1, "a"]]}, "latents[0]"),
        ("/decode", {"latents": [[1, 2], [3]]}, "latents"),
        ("/decode", {"latents": [[[1, 2], [3]]]}, "latents[0]"),
        ("/decode", {"latents": [{"a": 1}]}, "latents[0]"),
        ("/decode", {"latents": [[None]], "shape": [2]}, "latents[0]"),
        ("/decode", {"latents": ["AAAA"]}, "shape"),
        ("/decode", {"latents": ["AAAA"], "shape": [1]}, "latents[0]"),
        ("/decode", {"latents": [[1, 2]], "shape": [3]}, "latents[0]"),
        ("/decode", {"latents": [[1, 2]] * 65}, "latents"),
        ("/interpolate", {"images": [b64()]}, "images"),
        ("/interpolate", {"seeds": [1, 2, 3]}, "seeds"),
        ("/interpolate", {"seeds": [1, 2], "frames": 1}, "frames"),
        ("/interpolate", {"seeds": [1, 2], "frames": 65}, "frames"),
        ("/interpolate", {"seeds": [1, 2], "images": [b64(), b64()]}, None),
        ("/interpolate", {}, None),
        ("/noise", {**ONE, "timesteps": []}, "timesteps"),
        ("/noise", {**ONE, "timesteps": [-1]}, "timesteps[0]"),
        ("/noise", {**ONE, "timesteps": list(range(65))}, "timesteps"),
        ("/trajectory", {"frames": 65}, "frames"),
        ("/trajectory", {"stream": True}, "stream"),
    ],
)
def test_bad_input_names_its_field_and_reaches_no_model(door, path, body, param):
    error = refused(door, path, body)
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert door.router.requests == []


def test_too_many_candidates_are_refused_with_the_limit(door):
    assert "64" in refused(door, "/sample", {"n": 9, "best_of": 8})["message"]


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/vary", {"image": base64.b64encode(b"GIF89a").decode()}, "image"),
        ("/inpaint", {**ONE, "mask": base64.b64encode(b"no").decode()}, "mask"),
        ("/reconstruct", {"images": [b64(), base64.b64encode(b"no").decode()]}, "images[1]"),
    ],
)
def test_what_is_no_picture_is_refused_by_name(door, path, body, param):
    error = refused(door, path, body)
    assert (error["code"], error["param"]) == ("image_unreadable", param)


@pytest.mark.parametrize("stream", [True, False])
def test_what_the_replica_refuses_is_in_the_callers_words(door, stream):
    error = refused(door, "/text-to-image", {"prompt": "a", "steps": 250, "stream": stream})
    assert (error["param"], error["message"]) == ("steps", "steps are too many")


def test_a_model_that_does_not_denoise_names_the_field_that_was_sent(door):
    assert refused(door, "/sample", {"sampler": "lms"})["param"] == "sampler"


@pytest.mark.parametrize(
    ("path", "model", "can"),
    [
        ("/text-to-image", "tiny-gan", "tiny-painter"),
        ("/sample", "tiny-vae", "tiny-gan"),
        ("/encode", "gecko", "tiny-vae"),
        ("/discriminate", "tiny-painter", "tiny-gan"),
    ],
)
def test_a_model_without_the_task_is_refused_with_those_that_can(door, path, model, can):
    error = refused(door, path, {**MINIMAL[path], "model": model})
    assert (error["code"], error["param"]) == ("unsupported_parameter", "model")
    assert can in error["message"]


@pytest.mark.parametrize("path", MINIMAL)
def test_no_pictures_without_a_key(door, path):
    headers = {"authorization": "Bearer no"}
    response = door.client.post(f"/v1/images{path}", json=MINIMAL[path], headers=headers)
    assert response.status_code == 401


def test_pictures_may_be_larger_than_texts_and_have_a_bound_of_their_own(door):
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    held = io.BytesIO()
    Image.fromarray(noise).save(held, "png")
    large = base64.b64encode(held.getvalue()).decode()
    assert 0.25 * 2**20 < len(large) < 2**20

    answer(door, "/vary", {"image": large})
    error = refused(door, "/inpaint", {"image": large, "mask": large}, 413)
    assert error["code"] == "request_too_large"
    body = {"model": "gecko", "messages": [{"role": "user", "content": large}]}
    assert door.client.post("/v1/chat/completions", json=body).status_code == 413


def test_a_form_over_the_bound_is_refused(door):
    files = {"image": ("a.png", os.urandom(2**20 + 1), "image/png")}
    response = door.client.post("/v1/images/vary", files=files)
    assert response.status_code == 413


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"--x\r\nnonsense", "multipart/form-data; boundary=x"),
        (b"--x", "multipart/form-data"),
        (b"{}", "multipart/form-data; boundary=x"),
    ],
)
def test_a_broken_form_is_refused(door, content, kind):
    headers = {"content-type": kind}
    response = door.client.post("/v1/images/vary", content=content, headers=headers)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


def test_urls_are_refused_where_no_pictures_are_kept(keys):
    args = image_args(Gateway())
    others = Collaborators(
        ImageDispatcher(args), lambda: RUNNING, keys.verify, FakeSink(), no_targets
    )
    headers = {"authorization": f"Bearer {keys.create('t', scopes=[KeyScope.INFERENCE]).secret}"}
    with TestClient(gateway_application(args, others), headers=headers) as client:
        response = client.post("/v1/images/sample", json={"response_format": "url"})
    assert response.json()["error"]["param"] == "response_format"


# What operators see.


@pytest.mark.parametrize("stream", [False, True])
def test_metrics_count_the_pictures(door, stream):
    door.client.post("/v1/images/sample", json={"n": 3, "stream": stream})
    [(_, tags)] = door.sink.values["bestiary_requests_total"]
    assert (tags["dialect"], tags["model"], tags["status"]) == ("native", "tiny-gan", "200")
    assert [value for value, _ in door.sink.values["bestiary_images_total"]] == [3]


def test_the_documentation_describes_every_body(door):
    described = door.client.get("/openapi.json").json()
    for task in (*DRAW_TASKS, *ASK_TASKS):
        content = described["paths"][f"/v1/images{task.path}"]["post"]["requestBody"]["content"]
        assert set(content) == {"application/json", "multipart/form-data"}
        assert task.body.__name__ in described["components"]["schemas"]
