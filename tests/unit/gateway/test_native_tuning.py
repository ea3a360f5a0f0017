"""What OpenAI's API has no word for: estimates, figures, curves, tuned models, canaries."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest
from gateway_fakes import RUNNING, FakeDispatcher, FakeSink, gateway_args, no_targets
from PIL import Image
from starlette.testclient import TestClient
from tuning_fakes import CHATS, ENCODER_MODEL, TEXT_MODEL, jsonl, tuning_door

from bestiary.schemas.publishing import PublishedModel
from bestiary.schemas.tuning import Lineage, PublishedKind
from bestiary.state.tuning_jobs import StepMetrics
from services.gateway.application import Collaborators, gateway_application

TUNED = f"ft:{TEXT_MODEL}:sums:01234567"
CANARIES = "/v1/tuning/canaries"


@pytest.fixture
def door(tmp_path, installed_home):
    with tuning_door(tmp_path, installed_home) as door:
        yield door


@pytest.fixture
def published(door) -> PublishedModel:
    return publish(door)


@pytest.fixture(scope="module")
def refusing(tmp_path_factory, installed_home):
    """For requests that change nothing: has a tuned model, and a canary of `bison`."""
    with tuning_door(tmp_path_factory.mktemp("refusing"), installed_home) as door:
        publish(door)
        body = {"alias": "bison", "candidate": TUNED}
        assert door.client.post(CANARIES, json=body, headers=door.as_admin()).status_code == 200
        yield door


def publish(door) -> PublishedModel:
    """As the publisher leaves it."""
    job = door.service.jobs.get(door.train(suffix="sums")["id"])
    base = door.service.garden.card(TEXT_MODEL)
    now = datetime.now(UTC)
    model = PublishedModel(
        card=base.model_copy(update={"id": TUNED}),
        base=base.id,
        kind=PublishedKind.ADAPTER,
        folder="tuned/x",
        lineage=Lineage(
            job=job.id,
            base=base.id,
            base_revision="r",
            training_sha256="0" * 64,
            validation_sha256=None,
            code_version="0",
            method=job.spec.method,
            hyperparameters=job.spec.hyperparameters,
            plan=job.plan,
            seed=0,
            evaluation=None,
            trained_tokens=1,
            training_seconds=1.0,
            created_at=now,
        ),
        created_at=now,
    )
    door.service.models.add(model)
    return model


def test_an_estimate_makes_no_job(door):
    rows = [*CHATS, CHATS[0]]
    training = door.upload(jsonl(rows))["id"]
    validation = door.upload(jsonl(CHATS[:10]), "valid.jsonl")["id"]
    body = {"model": "gecko", "training_file": training, "validation_file": validation}

    estimate = door.client.post("/v1/tuning/estimate", json=body).json()

    assert estimate["object"] == "tuning.estimate"
    assert (estimate["model"], estimate["method"]) == (TEXT_MODEL, "supervised")
    assert estimate["training"]["duplicates"] == 1
    assert estimate["training"]["tokens"] > 100
    assert sum(one["examples"] for one in estimate["training"]["lengths"]) == 25
    assert estimate["validation"]["overlap"] == 10
    assert any("validation" in warning for warning in estimate["warnings"])
    assert estimate["plan"]["held_out_examples"] == 10
    assert estimate["plan"]["estimated_seconds"] > 0
    assert estimate["plan"]["estimated_cost"] > 0
    assert door.client.get("/v1/fine_tuning/jobs").json()["data"] == []


def test_the_figures_of_every_step_and_their_curve(door):
    job = door.train()["id"]
    door.service.jobs.claim(1)
    for step in (1, 2):
        metrics = {"train_loss": 1 / step, "learning_rate": 0.1}
        door.service.jobs.progressed(job, 1, [StepMetrics(step, step, metrics)])

    metrics = door.client.get(f"/v1/tuning/jobs/{job}/metrics").json()
    curve = door.client.get(f"/v1/tuning/jobs/{job}/curve.png")

    assert metrics["data"] == [
        {"step": 1, "train_loss": 1.0, "learning_rate": 0.1},
        {"step": 2, "train_loss": 0.5, "learning_rate": 0.1},
    ]
    assert curve.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(curve.content)).size == (1350, 675)


@pytest.mark.parametrize("what", ["metrics", "curve.png"])
def test_an_unknown_job_has_no_curve(refusing, what):
    assert refusing.client.get(f"/v1/tuning/jobs/ftjob-nowhere/{what}").status_code == 404


def test_a_tuned_model_tells_where_it_comes_from(door, published):
    [listed] = door.client.get("/v1/tuning/models").json()["data"]
    model = door.client.get(f"/v1/tuning/models/{TUNED}").json()

    assert model == listed
    assert (model["id"], model["base"], model["kind"]) == (TUNED, TEXT_MODEL, "adapter")
    assert model["lineage"]["job"] == published.lineage.job
    assert model["lineage"]["training_sha256"] == "0" * 64


def test_a_tuned_model_is_deleted_as_openai_does(door, published):
    deleted = door.client.delete(f"/v1/models/{TUNED}")

    assert deleted.json() == {"id": TUNED, "object": "model", "deleted": True}
    assert door.client.get(f"/v1/tuning/models/{TUNED}").status_code == 404
    assert door.client.delete(f"/v1/models/{TUNED}").json()["error"]["code"] == "model_not_found"


def test_models_of_the_profile_are_not_deleted(door):
    served = door.client.delete(f"/v1/models/{TEXT_MODEL}")
    unknown = door.client.delete("/v1/models/no-such-model")

    assert (served.status_code, unknown.status_code) == (403, 404)
    assert "profile" in served.json()["error"]["message"]


def test_a_canary_starts_moves_and_ends(door, published):
    admin = door.as_admin()
    move = f"{CANARIES}/text-bison-001/move"

    def moved(body: dict) -> tuple[str, float, int]:
        answer = door.client.post(move, json=body, headers=admin).json()
        return answer["state"], answer["weight"], answer["step"]

    body = {"alias": "text-bison-001", "candidate": TUNED, "rules": {"weights": [0.1, 0.5, 1.0]}}
    started = door.client.post(CANARIES, json=body, headers=admin).json()

    assert (started["base"], started["candidate"]) == (TEXT_MODEL, TUNED)
    assert (started["weight"], started["state"]) == (0.1, "running")
    assert started["candidate_counts"]["requests"] == 0
    assert moved({"step": 1}) == ("running", 0.5, 1)
    assert moved({"weight": 0.7}) == ("running", 0.7, 1)
    assert moved({"promote": True}) == ("promoted", 1.0, 2)
    assert moved({"rollback": True}) == ("rolled_back", 0.0, 2)
    assert door.client.get(f"{CANARIES}/text-bison-001").json()["state"] == "rolled_back"
    assert len(door.client.get(CANARIES).json()["data"]) == 1
    ended = door.client.delete(f"{CANARIES}/text-bison-001", headers=admin)
    assert ended.json()["deleted"] is True
    assert door.client.get(f"{CANARIES}/text-bison-001").status_code == 404


def test_a_model_that_traffic_goes_to_is_not_deleted(door, published):
    body = {"alias": "gecko", "candidate": TUNED}
    door.client.post(CANARIES, json=body, headers=door.as_admin())

    response = door.client.delete(f"/v1/models/{TUNED}")

    assert response.status_code == 409
    assert "'gecko'" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"candidate": TUNED}, 400, "alias"),
        ({"alias": "gecko", "candidate": "no-such-model"}, 404, None),
        ({"alias": "gecko", "candidate": "ft:nothing:at:all"}, 404, None),
        ({"alias": "a-new-name", "candidate": TUNED}, 400, "base"),
        ({"alias": "gecko", "candidate": "gecko"}, 400, "alias"),
        ({"alias": "gecko", "candidate": ENCODER_MODEL}, 400, "candidate"),
        ({"alias": "gecko", "candidate": TUNED, "weight": 2}, 400, "weight"),
        ({"alias": "gecko", "candidate": TUNED, "rules": {"weights": [0.5]}}, 400, "rules.weights"),
    ],
)
def test_a_canary_that_cannot_be_is_refused(refusing, body, status, param):
    response = refusing.client.post(CANARIES, json=body, headers=refusing.as_admin())

    assert response.status_code == status, response.text
    assert response.json()["error"]["param"] == param


@pytest.mark.parametrize(
    "body", [{}, {"weight": 0.5, "step": 1}, {"promote": False}, {"step": 9}, {"weight": -1}]
)
def test_a_move_that_cannot_be_is_400(refusing, body):
    admin = refusing.as_admin()

    response = refusing.client.post(f"{CANARIES}/bison/move", json=body, headers=admin)

    assert response.status_code == 400, response.text


def test_a_second_canary_of_an_alias_is_409(refusing):
    admin, body = refusing.as_admin(), {"alias": "bison", "candidate": TUNED}

    assert refusing.client.post(CANARIES, json=body, headers=admin).status_code == 409


def test_traffic_is_moved_by_admins_only(refusing):
    body = {"alias": "gecko", "candidate": TUNED}

    assert refusing.client.post(CANARIES, json=body).status_code == 403
    assert refusing.client.post(f"{CANARIES}/bison/move", json={"step": 1}).status_code == 403
    assert refusing.client.delete(f"{CANARIES}/bison").status_code == 403


@pytest.mark.parametrize("path", ["/v1/files", "/v1/files/x", "/v1/fine_tuning/jobs", CANARIES])
def test_without_tuning_in_the_profile_there_is_a_reason(keys, path):
    args = gateway_args()
    others = Collaborators(
        FakeDispatcher(args), lambda: RUNNING, keys.verify, FakeSink(), no_targets
    )
    secret = keys.create("tests", scopes=["tuning"]).secret
    headers = {"authorization": f"Bearer {secret}"}

    with TestClient(gateway_application(args, others), headers=headers) as client:
        response = client.get(path)

    assert response.status_code == 404
    assert "section `tuning`" in response.json()["error"]["message"]
