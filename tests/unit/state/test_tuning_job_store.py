"""Tuning jobs as they are asked for, listed, claimed and told of, on both databases."""

from __future__ import annotations

import math

import pytest
from state_values import EVALUATION, PLAN, spec

from bestiary.errors import Conflict, InvalidRequest, NotFound
from bestiary.schemas.tuning import EventKind, EventLevel, JobStatus
from bestiary.state.tuning_jobs import StepMetrics, TuningJobs


@pytest.fixture
def jobs(database):
    return TuningJobs(database)


@pytest.fixture
def running(jobs):
    jobs.create(spec(), PLAN)
    return jobs.claim(1)


def test_a_job_is_kept_as_it_was_asked_for(jobs):
    asked = spec(seed=7, priority=3, metadata={"team": "pets", "Ünï": "código"}, suffix="pets")

    job = jobs.create(asked, PLAN)

    assert job == jobs.get(job.id)
    assert (job.spec, job.plan, job.status) == (asked, PLAN, JobStatus.QUEUED)
    assert job.id.startswith("ftjob-")
    assert job.created_at.tzinfo is not None
    assert (job.attempt, job.started_at, job.finished_at) == (0, None, None)


def test_the_same_key_gives_the_same_job(jobs):
    first = jobs.create(spec(), PLAN, key="one")
    jobs.claim(1)

    again = jobs.create(spec(), PLAN, key="one")

    assert again == jobs.get(first.id)
    assert jobs.create(spec(), PLAN, key="two").id != first.id
    assert jobs.create(spec(), PLAN).id != first.id
    assert len(jobs.list().data) == 3


def test_a_key_with_another_spec_is_refused(jobs):
    jobs.create(spec(), PLAN, key="one")

    with pytest.raises(Conflict, match="another spec"):
        jobs.create(spec(seed=1), PLAN, key="one")
    assert len(jobs.list().data) == 1


@pytest.mark.parametrize("key", ["", "x" * 10_000, "a\0b", "\ud800"])
def test_any_text_is_a_key(jobs, key):
    assert jobs.create(spec(), PLAN, key=key) == jobs.create(spec(), PLAN, key=key)


@pytest.mark.parametrize(
    "wrong",
    [
        {"metadata": {"k" * 65: "v"}},
        {"metadata": {"k": "v" * 513}},
        {"metadata": {"k": "a\0b"}},
        {"training_file": "a\0b"},
        {"validation_file": "a\0b"},
    ],
)
def test_what_no_database_holds_is_refused(jobs, wrong):
    with pytest.raises(InvalidRequest):
        jobs.create(spec(**wrong), PLAN)
    assert jobs.list().data == ()


def test_twenty_pages_have_every_job_once_newest_first(jobs):
    made = [jobs.create(spec(), PLAN).id for _ in range(60)]

    pages, after = [], None
    while not pages or pages[-1].has_more:
        pages.append(jobs.list(after=after, limit=3))
        after = pages[-1].data[-1].id

    assert len(pages) == 20
    assert [job.id for page in pages for job in page.data] == made[::-1]
    assert jobs.list(after=after).data == ()


@pytest.mark.parametrize("after", ["ftjob-none", "", "a\0b"])
def test_a_page_after_nothing_is_not_found(jobs, running, after):
    for pages in (jobs.list, lambda after: jobs.events(running.id, after=after)):
        with pytest.raises(NotFound):
            pages(after=after)
    with pytest.raises(NotFound):
        jobs.checkpoints(running.id, after=after)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_page_of_nothing_is_refused(jobs, limit):
    with pytest.raises(InvalidRequest):
        jobs.list(limit=limit)


def test_jobs_are_found_by_status_and_by_all_pairs_of_metadata(jobs):
    cat = jobs.create(spec(metadata={"animal": "cat", "team": "a"}), PLAN).id
    dog = jobs.create(spec(metadata={"animal": "dog", "team": "a"}), PLAN).id
    jobs.pause(dog)

    def ids(**asked):
        return [job.id for job in jobs.list(**asked).data]

    assert ids(metadata={"team": "a"}) == [dog, cat]
    assert ids(metadata={"team": "a", "animal": "cat"}) == [cat]
    assert ids(metadata={"animal": "a"}) == []
    assert ids(metadata={"animal": "a\0"}) == []
    assert ids(metadata={"team": "a"}, status=JobStatus.PAUSED) == [dog]
    assert ids(status=JobStatus.FAILED) == []


def test_the_highest_priority_is_claimed_first_then_the_oldest(jobs):
    low, first, second, high = (
        jobs.create(spec(priority=priority), PLAN).id for priority in (-1, 0, 0, 5)
    )

    claimed = [jobs.claim(10) for _ in range(5)]

    assert [job and job.id for job in claimed] == [high, first, second, low, None]
    assert all(job.status is JobStatus.RUNNING and job.attempt == 1 for job in claimed if job)
    assert [job.id for job in jobs.running()] == [low, first, second, high]


def test_no_more_run_than_may(jobs):
    for _ in range(3):
        jobs.create(spec(), PLAN)

    first, second, third = jobs.claim(2), jobs.claim(2), jobs.claim(2)

    assert first is not None
    assert second is not None
    assert third is None
    jobs.cancel(first.id)
    assert jobs.claim(2) is not None
    assert jobs.claim(0) is None


def test_a_step_told_again_replaces_its_metrics_in_its_place(jobs, running):
    for step in (1, 2, 3):
        jobs.progressed(running.id, 1, [StepMetrics(step, step * 10, {"loss": 9.0})])
    before = [event.id for event in jobs.events(running.id).data]

    jobs.restarted(running.id, 1)
    told = StepMetrics(2, 20, {"loss": 1.5, "learning_rate": 1e-4})
    jobs.progressed(running.id, 2, [told])

    curve = jobs.metrics(running.id)
    assert [event.data["step"] for event in curve] == [1, 2, 3]
    assert curve[1].data == {"step": 2, "loss": 1.5, "learning_rate": 1e-4}
    assert curve[1].message == "Step 2/20: loss=1.5, learning_rate=0.0001"
    assert {event.kind for event in curve} == {EventKind.METRICS}
    assert [event.id for event in jobs.events(running.id).data][1:] == before
    job = jobs.get(running.id)
    assert (job.completed_steps, job.trained_tokens) == (2, 20)


def test_the_loss_of_a_diverged_job_is_kept(jobs, running):
    told = StepMetrics(1, 1, {"loss": math.nan, "norm": math.inf})
    jobs.progressed(running.id, 1, [told], saved={"loss": math.nan})

    [event] = jobs.metrics(running.id)
    assert math.isnan(event.data["loss"])
    assert event.data["norm"] == math.inf
    assert math.isnan(jobs.checkpoints(running.id).data[0].metrics["loss"])


def test_events_are_paged_newest_first_and_are_the_job_s_own(jobs, running):
    other = jobs.create(spec(), PLAN)
    for number in range(5):
        jobs.told(running.id, 1, f"message {number}", EventLevel.WARN, {"number": number})

    first = jobs.events(running.id, limit=3)
    rest = jobs.events(running.id, after=first.data[-1].id, limit=10)

    assert [event.data.get("number") for event in first.data] == [4, 3, 2]
    assert (first.has_more, rest.has_more) == (True, False)
    assert len(rest.data) == 4  # two more, started, created
    assert first.data[0].level is EventLevel.WARN
    with pytest.raises(NotFound):
        jobs.events(other.id, after=first.data[0].id)


def test_a_checkpoint_saved_again_is_replaced(jobs, running):
    for step, loss in ((5, 2.0), (10, 1.0), (5, 1.9)):
        jobs.progressed(running.id, 1, [StepMetrics(step, step, {})], saved={"loss": loss})

    first = jobs.checkpoints(running.id, limit=1)
    second = jobs.checkpoints(running.id, after=first.data[0].id)

    assert [(c.step, c.metrics) for c in first.data + second.data] == [
        (10, {"loss": 1.0}),
        (5, {"loss": 1.9}),
    ]
    assert (first.has_more, second.has_more) == (True, False)


def test_an_evaluation_is_kept(jobs, running):
    jobs.evaluated(running.id, 1, EVALUATION)

    assert jobs.get(running.id).evaluation == EVALUATION
