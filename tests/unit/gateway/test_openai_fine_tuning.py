"""Fine-tuning jobs in OpenAI's API: made, watched, moved, over a real store of jobs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from tuning_fakes import CHATS, ENCODER_MODEL, TEXT_MODEL, jsonl, tuning_door

from bestiary.schemas.tuning import Evaluation, JobError
from bestiary.state.tuning_jobs import StepMetrics
from services.gateway.dialects.openai_fine_tuning_reply import job_json

JOBS = "/v1/fine_tuning/jobs"
LABELLED = [{"text": f"It is {n}", "label": "odd" if n % 2 else "even"} for n in range(24)]
PREFERENCES = [{"prompt": f"Say {n}", "chosen": f"{n}", "rejected": f"not {n}"} for n in range(24)]
TEXTS = [{"text": f"A story of {n} sheep that went over a hill."} for n in range(24)]


@pytest.fixture
def door(tmp_path, installed_home):
    with tuning_door(tmp_path, installed_home) as door:
        yield door


@pytest.fixture
def chats(door):
    return door.upload(jsonl(CHATS))["id"]


@pytest.fixture(scope="module")
def refusing(tmp_path_factory, installed_home):
    """For requests that change nothing; with the id of a file of `CHATS`."""
    with tuning_door(tmp_path_factory.mktemp("refusing"), installed_home) as door:
        yield door, door.upload(jsonl(CHATS))["id"]


def create(door, training_file: str, **body: object):
    return door.client.post(JOBS, json={"model": "gecko", "training_file": training_file, **body})


def stepped(door, job: str, steps: int, attempt: int = 1) -> None:
    """As a trainer tells it."""
    for step in range(1, steps + 1):
        metrics = {"train_loss": 2 / step, "learning_rate": 0.001}
        if step % 2 == 0:
            metrics["valid_loss"] = 2.5 / step
        door.service.jobs.progressed(job, attempt, [StepMetrics(step, 100 * step, metrics)])


def test_a_job_is_queued_with_a_plan(door, chats):
    job = create(door, chats, suffix="sums", seed=7, metadata={"team": "sea"}).json()

    assert job["id"].startswith("ftjob-")
    assert job["object"] == "fine_tuning.job"
    assert (job["status"], job["model"], job["seed"]) == ("queued", TEXT_MODEL, 7)
    assert job["metadata"] == {"team": "sea"}
    assert (job["training_file"], job["validation_file"]) == (chats, None)
    assert (job["fine_tuned_model"], job["finished_at"], job["error"]) == (None, None, None)
    assert (job["trained_tokens"], job["result_files"], job["integrations"]) == (None, [], [])
    assert isinstance(job["hyperparameters"]["n_epochs"], int)
    plan = job["bestiary"]["plan"]
    assert plan["steps"] > 0
    assert plan["training_examples"] + plan["held_out_examples"] == 24
    assert job["bestiary"]["progress"]["percent"] == 0
    assert job == door.client.get(f"{JOBS}/{job['id']}").json()


@pytest.mark.parametrize("name", ["gecko", "bison", "text-bison-001", TEXT_MODEL])
def test_the_base_model_may_be_named_in_any_way(door, name):
    assert door.train(model=name)["model"] == TEXT_MODEL


@pytest.mark.parametrize(
    ("model", "rows", "method", "openai_type"),
    [
        ("gecko", CHATS, "supervised", "supervised"),
        ("gecko", PREFERENCES, "dpo", "dpo"),
        ("gecko", TEXTS, "continued_pretraining", "supervised"),
        (ENCODER_MODEL, LABELLED, "classification", "supervised"),
    ],
)
def test_the_method_follows_from_the_model_and_the_file(door, model, rows, method, openai_type):
    job = create(door, door.upload(jsonl(rows))["id"], model=model).json()

    assert job["bestiary"]["method"] == method
    assert job["method"]["type"] == openai_type
    assert openai_type in job["method"]


def test_hyperparameters_come_by_method_or_the_older_way(door, chats):
    said = {"n_epochs": 2, "batch_size": 4, "learning_rate_multiplier": 0.5}
    newer = {"type": "supervised", "supervised": {"hyperparameters": said}}

    by_method = create(door, chats, method=newer).json()
    older = create(door, chats, hyperparameters=said).json()

    assert by_method["hyperparameters"] == older["hyperparameters"] == said
    assert by_method["method"] == newer
    assert by_method["bestiary"]["plan"]["batch_size"] == 4


def test_auto_is_chosen_for_the_data(door, chats):
    auto = {"n_epochs": "auto", "batch_size": "auto", "learning_rate_multiplier": "auto"}

    job = create(door, chats, hyperparameters=auto).json()

    assert job["bestiary"]["hyperparameters"]["epochs"] is None
    assert job["hyperparameters"]["n_epochs"] >= 1


def test_preference_tuning_takes_beta(door):
    file = door.upload(jsonl(PREFERENCES))["id"]
    method = {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.3, "n_epochs": 1}}}

    job = create(door, file, method=method).json()

    assert job["method"]["dpo"]["hyperparameters"]["beta"] == 0.3


def test_the_extension_tells_what_openai_has_no_word_for(door, chats):
    extension = {
        "hyperparameters": {"steps": 12, "packing": False},
        "lora": {"rank": 4, "targets": ["q_proj"]},
        "gate": {"at_least": {"exact_match": 0.9}, "improves": []},
        "priority": 5,
        "publish": False,
        "min_replicas": 1,
    }

    job = create(door, chats, bestiary=extension).json()["bestiary"]

    assert job["plan"]["steps"] == 12
    assert job["hyperparameters"]["lora"]["rank"] == 4
    assert job["hyperparameters"]["packing"] is False
    assert job["gate"]["at_least"] == {"exact_match": 0.9}
    assert (job["priority"], job["publish"], job["min_replicas"]) == (5, False, 1)


def test_distillation_names_its_teacher(door, chats):
    job = create(door, chats, bestiary={"teacher": "bison", "teaches_by": "logits"}).json()

    assert job["bestiary"]["method"] == "distillation"
    assert job["bestiary"]["teacher"] == TEXT_MODEL


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": 7}, "model"),
        ({"colour": 1}, "colour"),
        ({"integrations": [{"type": "wandb"}]}, "integrations"),
        ({"suffix": "Über"}, "suffix"),
        ({"suffix": "x" * 65}, "suffix"),
        ({"seed": -1}, "seed"),
        ({"seed": "1"}, "seed"),
        ({"metadata": {"k" * 65: "v"}}, None),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata"),
        ({"hyperparameters": {"n_epochs": 0}}, "hyperparameters.n_epochs"),
        ({"hyperparameters": {"batch_size": -1}}, "hyperparameters.batch_size"),
        ({"method": {"type": "reinforcement"}}, "method.type"),
        ({"method": {"type": "dpo", "supervised": {}}}, "method.supervised"),
        ({"method": {"type": "supervised"}, "bestiary": {"method": "dpo"}}, "bestiary.method"),
        ({"bestiary": {"method": "magic"}}, "bestiary.method"),
        ({"bestiary": {"lora": {"rank": 0}}}, "bestiary.lora.rank"),
        ({"bestiary": {"priority": 101}}, "bestiary.priority"),
        ({"bestiary": {"method": "distillation"}}, None),
        ({"bestiary": {"method": "supervised", "teacher": "bison"}}, None),
        ({"bestiary": {"teacher": ENCODER_MODEL}}, "bestiary.teacher"),
        ({"bestiary": {"method": "classification"}}, "bestiary.method"),
        ({"method": {"type": "dpo"}}, "training_file"),
        ({"model": ENCODER_MODEL}, "training_file"),
    ],
)
def test_what_cannot_be_a_job_is_400(refusing, body, param):
    door, chats = refusing

    response = create(door, chats, **body)

    assert response.status_code == 400, response.text
    assert param is None or response.json()["error"]["param"] == param
    assert door.client.get(JOBS).json()["data"] == []


def test_hyperparameters_that_are_told_twice_must_agree(door, chats):
    both = {"hyperparameters": {"n_epochs": 2}, "bestiary": {"hyperparameters": {"epochs": 3}}}

    response = create(door, chats, **both)

    assert response.status_code == 400
    assert "told twice" in response.json()["error"]["message"]


def test_a_tuned_model_is_not_tuned_on(door, chats):
    response = create(door, chats, model=f"ft:{TEXT_MODEL}:tuned:01234567")

    assert response.status_code == 400
    assert response.json()["error"]["param"] == "model"
    assert "base model" in response.json()["error"]["message"]


def test_unknown_models_and_files_are_404(door, chats):
    unknown_model = create(door, chats, model="no-such-model")
    unknown_file = create(door, "file-nowhere")
    unknown_validation = create(door, chats, validation_file="file-nowhere")

    assert unknown_model.json()["error"]["code"] == "model_not_found"
    assert [one.status_code for one in (unknown_model, unknown_file, unknown_validation)] == (
        [404] * 3
    )


def test_a_file_that_was_not_uploaded_for_it_trains_nothing(door):
    file = door.upload(jsonl(CHATS), purpose="user_data")["id"]

    response = create(door, file)

    assert response.status_code == 400
    assert response.json()["error"]["param"] == "training_file"


def test_a_validation_file_of_another_format_is_refused(door, chats):
    other = door.upload(jsonl(LABELLED))["id"]

    response = create(door, chats, validation_file=other)

    assert response.status_code == 400
    assert response.json()["error"]["param"] == "validation_file"


def test_the_same_idempotency_key_gives_the_same_job(door, chats):
    headers = {"idempotency-key": "once"}
    body = {"model": "gecko", "training_file": chats}

    first = door.client.post(JOBS, json=body, headers=headers)
    again = door.client.post(JOBS, json=body, headers=headers)
    other = door.client.post(JOBS, json={**body, "seed": 1}, headers=headers)

    assert first.json()["id"] == again.json()["id"]
    assert other.status_code == 409
    assert len(door.client.get(JOBS).json()["data"]) == 1


def test_jobs_are_listed_newest_first_and_page_by_page(door, chats):
    ids = [create(door, chats, seed=n).json()["id"] for n in range(3)]

    first = door.client.get(f"{JOBS}?limit=2").json()
    second = door.client.get(f"{JOBS}?limit=2&after={first['last_id']}").json()

    assert [job["id"] for job in first["data"] + second["data"]] == ids[::-1]
    assert (first["has_more"], second["has_more"]) == (True, False)


def test_jobs_are_found_by_metadata_and_status(door, chats):
    wanted = create(door, chats, metadata={"team": "sea", "run": "1"}).json()["id"]
    cancelled = create(door, chats, metadata={"team": "land"}).json()["id"]
    door.client.post(f"{JOBS}/{cancelled}/cancel")

    by_metadata = door.client.get(JOBS, params={"metadata[team]": "sea"}).json()["data"]
    by_status = door.client.get(JOBS, params={"status": "cancelled"}).json()["data"]

    assert [job["id"] for job in by_metadata] == [wanted]
    assert [job["id"] for job in by_status] == [cancelled]
    for query in ({"metadata": "null"}, {"status": "asleep"}, {"limit": "101"}):
        assert door.client.get(JOBS, params=query).status_code == 400


def test_a_job_is_paused_resumed_and_cancelled(door, chats):
    job = f"{JOBS}/{create(door, chats).json()['id']}"

    moves = [door.client.post(f"{job}/{move}").json() for move in ("pause", "resume", "cancel")]

    assert [one["status"] for one in moves] == ["paused", "queued", "cancelled"]
    assert moves[-1]["finished_at"] is not None
    refused = door.client.post(f"{job}/resume")
    assert refused.status_code == 409
    assert "cancelled" in refused.json()["error"]["message"]


@pytest.mark.parametrize("what", ["", "/events", "/checkpoints"])
def test_an_unknown_job_is_404(refusing, what):
    response = refusing[0].client.get(f"{JOBS}/ftjob-nowhere{what}")

    assert response.status_code == 404
    assert response.json()["error"]["type"] == "invalid_request_error"


def test_progress_events_and_checkpoints_of_a_running_job(door):
    job = door.train(bestiary={"hyperparameters": {"steps": 8}})["id"]
    assert door.service.jobs.claim(1).id == job
    stepped(door, job, 4)
    door.service.jobs.progressed(job, 1, (), saved={"train_loss": 0.5, "valid_loss": 0.625})

    seen = door.client.get(f"{JOBS}/{job}").json()
    events = door.client.get(f"{JOBS}/{job}/events?limit=3").json()
    [checkpoint] = door.client.get(f"{JOBS}/{job}/checkpoints").json()["data"]

    assert seen["status"] == "running"
    assert seen["trained_tokens"] is None
    assert seen["estimated_finish"] >= seen["created_at"]
    progress = seen["bestiary"]["progress"]
    assert progress == {
        "completed_steps": 4,
        "total_steps": 8,
        "percent": 50.0,
        "trained_tokens": 400,
    }
    metrics = next(event for event in events["data"] if event["type"] == "metrics")
    assert metrics["object"] == "fine_tuning.job.event"
    assert metrics["data"]["step"] == 4
    assert metrics["data"]["valid_loss"] == 0.625
    assert events["has_more"]
    assert checkpoint["step_number"] == 4
    assert checkpoint["fine_tuning_job_id"] == job
    assert checkpoint["metrics"]["full_valid_loss"] == checkpoint["metrics"]["valid_loss"] == 0.625


def test_the_finish_is_estimated_by_the_pace_so_far(door):
    job = door.train(bestiary={"hyperparameters": {"steps": 8}})["id"]
    started = door.service.jobs.claim(1).started_at
    stepped(door, job, 2)

    seen = job_json(door.service.jobs.get(job), started + timedelta(seconds=30))

    assert seen["estimated_finish"] == int((started + timedelta(seconds=120)).timestamp())


def test_a_job_that_the_gate_kept_back_tells_why(door):
    job = door.train()["id"]
    door.service.jobs.claim(1)
    evaluation = Evaluation(
        examples=2,
        base={"loss": 1.0},
        tuned={"loss": 1.5},
        passed=False,
        reasons=("failed: loss must be better than the base's: 1 -> 1.5",),
    )
    door.service.jobs.evaluated(job, 1, evaluation)
    door.service.jobs.succeeded(job, 1, model=None, result_files=("file-1",), message="kept")

    seen = door.client.get(f"{JOBS}/{job}").json()

    assert (seen["status"], seen["fine_tuned_model"]) == ("succeeded", None)
    assert seen["result_files"] == ["file-1"]
    assert seen["trained_tokens"] == 0
    assert seen["bestiary"]["evaluation"]["passed"] is False
    assert "loss" in seen["bestiary"]["evaluation"]["reasons"][0]


def test_a_job_that_failed_has_its_error(door):
    job = door.train()["id"]
    door.service.jobs.claim(1)
    door.service.jobs.failed(job, 1, JobError(code="trainer_lost", message="gone"))

    seen = door.client.get(f"{JOBS}/{job}").json()

    assert seen["status"] == "failed"
    assert seen["error"] == {"code": "trainer_lost", "message": "gone", "param": None}
    assert seen["finished_at"] <= int(datetime.now(UTC).timestamp())


def test_only_keys_for_tuning_or_of_admins_may_tune(door):
    for scope, status in (("inference", 403), ("tuning", 200), ("admin", 200)):
        secret = door.keys.create(scope, scopes=[scope]).secret
        headers = {"authorization": f"Bearer {secret}"}
        for path in (JOBS, "/v1/files", "/v1/tuning/models"):
            assert door.client.get(path, headers=headers).status_code == status, (scope, path)
