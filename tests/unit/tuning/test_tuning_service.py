"""What a user does with tuning, without HTTP: uploads, jobs, canaries, over real stores."""

from __future__ import annotations

import json

import pytest

from bestiary.errors import Conflict, InvalidRequest, NotFound
from bestiary.garden import Garden
from bestiary.garden.card import Family
from bestiary.profile.models import Tuning
from bestiary.schemas.publishing import CanaryRules, CanaryState
from bestiary.schemas.tuning import DataFormat, Hyperparameters, JobSpec, JobStatus, Method
from bestiary.state.database import Database
from bestiary.state.files import FilePurpose, FileStatus, StoredFile
from bestiary.state.upgrade import upgrade
from services.tuning.service import TuningService, method_for

BASE = "smollm2-135m-instruct"
COMPLETIONS = [{"prompt": f"{n} and one is", "completion": f" {n + 1}"} for n in range(20)]


@pytest.fixture
def service(tmp_path, installed_home):
    url = f"sqlite:///{tmp_path / 'state.db'}"
    upgrade(url)
    database = Database(url)
    settings = Tuning(max_examples=1000, price_per_cpu_hour=2.0)
    yield TuningService(database, tmp_path / "files", Garden(installed_home), settings)
    database.close()


@pytest.fixture
def base(installed_home):
    return Garden(installed_home).card(BASE)


def upload(
    service: TuningService,
    rows: list[dict],
    name: str = "a.jsonl",
    purpose: FilePurpose = FilePurpose.FINE_TUNE,
) -> StoredFile:
    with service.upload() as upload:
        upload.begin(name).write("".join(json.dumps(row) + "\n" for row in rows).encode())
        return upload.finish(purpose)


def spec(file: StoredFile, **more: object) -> JobSpec:
    return JobSpec(base=BASE, method=Method.SUPERVISED, training_file=file.id, **more)


def test_an_upload_that_is_given_up_leaves_nothing(service, tmp_path):
    with service.upload() as upload:
        upload.begin("a.jsonl").write(b"half")

    assert service.files.list().data == ()
    assert list((tmp_path / "files").iterdir()) == []


def test_an_upload_cannot_be_finished_once_it_was_given_up(service):
    with service.upload() as upload:
        upload.begin("a.jsonl")

    with pytest.raises(Conflict):
        upload.finish(FilePurpose.FINE_TUNE)


def test_a_good_file_is_processed_and_reported_on(service):
    checked = service.check(upload(service, COMPLETIONS))

    assert checked.status is FileStatus.PROCESSED
    assert checked.report.format is DataFormat.COMPLETION
    assert checked.report.examples == 20
    assert service.files.get(checked.id) == checked


def test_a_file_with_bad_lines_is_refused_by_line_and_gone(service):
    stored = upload(service, [*COMPLETIONS, {"prompt": 7}])

    with pytest.raises(InvalidRequest, match="line 21"):
        service.check(stored)

    with pytest.raises(NotFound):
        service.files.get(stored.id)


def test_of_many_problems_some_are_told(service):
    with pytest.raises(InvalidRequest) as raised:
        service.check(upload(service, [*COMPLETIONS, *({"prompt": n} for n in range(200))]))

    assert "line 21" in raised.value.message
    assert len(raised.value.message) < 8000


def test_a_file_over_the_profiles_examples_is_refused(service):
    rows = [{"prompt": str(n), "completion": "x"} for n in range(1001)]

    with pytest.raises(InvalidRequest, match="1000"):
        service.check(upload(service, rows))


def test_a_file_whose_check_was_killed_is_checked_when_a_job_needs_it(service, base):
    stored = upload(service, COMPLETIONS)

    assert service.method_for(base, stored.id) is Method.SUPERVISED
    assert service.files.get(stored.id).status is FileStatus.PROCESSED


def test_a_large_file_is_checked_in_a_process_of_its_own(service):
    words = " and so on" * 80
    rows = [{"prompt": f"{n}", "completion": f"{n}{words}"} for n in range(900)]

    checked = service.check(upload(service, rows))

    assert checked.bytes > 500_000
    assert checked.report.examples == 900


@pytest.mark.parametrize(
    ("family", "format", "method"),
    [
        (Family.TEXT, DataFormat.CHAT, Method.SUPERVISED),
        (Family.TEXT, DataFormat.COMPLETION, Method.SUPERVISED),
        (Family.TEXT, DataFormat.PREFERENCE, Method.DPO),
        (Family.TEXT, DataFormat.TEXT, Method.CONTINUED_PRETRAINING),
        (Family.ENCODER, DataFormat.LABELLED_TEXT, Method.CLASSIFICATION),
        (Family.ENCODER, DataFormat.TAGGED_TOKENS, Method.TOKEN_CLASSIFICATION),
        (Family.ENCODER, DataFormat.TEXT_PAIRS, Method.EMBEDDING),
        (Family.SEQ2SEQ, DataFormat.TRANSLATION, Method.SEQUENCE_TO_SEQUENCE),
        (Family.SEQ2SEQ, DataFormat.COMPLETION, Method.SEQUENCE_TO_SEQUENCE),
        (Family.IMAGE, DataFormat.CAPTIONED_IMAGES, Method.TEXT_TO_IMAGE),
    ],
)
def test_the_method_follows_from_family_and_format(family, format, method):
    assert method_for(family, format, "base") is method


def test_a_format_that_a_family_cannot_learn_from_lists_those_it_can():
    with pytest.raises(InvalidRequest, match="labelled_text, tagged_tokens, text_pairs"):
        method_for(Family.ENCODER, DataFormat.CHAT, "base")


def test_an_estimate_counts_the_base_models_tokens(service, base):
    training = upload(service, COMPLETIONS)

    estimate = service.estimate(spec(training), base)

    assert estimate.training.tokens > 20 * 5
    assert estimate.plan.training_tokens > 0
    assert estimate.plan.training_examples + estimate.plan.held_out_examples == 20
    assert estimate.plan.estimated_cost == pytest.approx(
        estimate.plan.estimated_seconds * 2.0 / 3600, rel=0.01
    )
    assert service.jobs.list().data == ()


def test_an_overlap_of_training_and_validation_is_a_warning(service, base):
    training = upload(service, COMPLETIONS)
    validation = upload(service, COMPLETIONS[:10], "v.jsonl")

    estimate = service.estimate(spec(training, validation_file=validation.id), base)

    assert estimate.validation.overlap == 10
    assert estimate.warnings


def test_a_job_of_another_family_than_its_base_is_refused(service, base):
    training = upload(service, COMPLETIONS)
    wrong = JobSpec(base=BASE, method=Method.CLASSIFICATION, training_file=training.id)

    with pytest.raises(InvalidRequest, match="text") as raised:
        service.create(wrong, base)

    assert raised.value.param == "bestiary.method"


def test_a_base_that_is_not_installed_cannot_be_tuned(service):
    missing = service.garden.card("smollm2-360m-instruct")
    asked = spec(upload(service, COMPLETIONS)).model_copy(update={"base": missing.id})

    with pytest.raises(NotFound, match="not installed"):
        service.create(asked, missing)


def test_the_same_key_gives_the_same_job(service, base):
    asked = spec(upload(service, COMPLETIONS), hyperparameters=Hyperparameters(steps=3))

    first, again = (service.create(asked, base, key="k") for _ in range(2))

    assert first.id == again.id
    assert (first.status, first.plan.steps) == (JobStatus.QUEUED, 3)


def test_a_canary_moves_by_step_and_by_weight(service):
    service.canaries.start("alias", "a", "b", CanaryRules(weights=(0.1, 0.5, 1.0)))

    assert service.move_canary("alias", step=1).weight == 0.5
    assert service.move_canary("alias", weight=0.05).step == 0
    assert service.promote("alias").state is CanaryState.PROMOTED
    assert service.move_canary("alias", weight=0.6).state is CanaryState.RUNNING
    assert service.roll_back("alias").weight == 0.0
    with pytest.raises(InvalidRequest):
        service.move_canary("alias", step=3)
    with pytest.raises(NotFound):
        service.promote("nobody")
