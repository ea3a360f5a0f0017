"""The load board: what it learns, and that it neither raises nor wakes what sleeps."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from router_fakes import FakeModel, FakeReply, FakeStream, RayActorError, profile

from bestiary.profile.models import Deployment, Scaling
from bestiary.schemas.replica import ReplicaLoad
from services.router.load_board import AGREEING_ROUNDS, RARE_ROUND, LoadBoard
from services.router.watched import Watched

NAME = "small-int8"
QUIET = ReplicaLoad(running=0, waiting=0, slots=2)


class Cluster:
    """Serve's status, as a test sets it."""

    def __init__(self, replicas: int) -> None:
        self.replicas = replicas
        self.failure: Exception | None = None
        self.asked = 0

    async def __call__(self) -> Mapping[str, int]:
        self.asked += 1
        if self.failure:
            raise self.failure
        return {NAME: self.replicas} if self.replicas >= 0 else {}


def model(reply: FakeReply[ReplicaLoad] | None = None) -> FakeModel:
    return FakeModel(FakeStream(), load=reply)


def board(cluster: Cluster, handle: FakeModel, deployment: Deployment | None = None) -> LoadBoard:
    deployments = {NAME: deployment or profile().deployments[NAME]}
    return LoadBoard(
        deployments, (NAME,), lambda _: handle, cluster, period_s=0.01, sample_deadline_s=0.05
    )


def to_zero() -> Deployment:
    return profile().deployments[NAME].model_copy(update={"scaling": Scaling(min_replicas=0)})


async def test_a_running_deployment_shows_its_replicas_view() -> None:
    seen = ReplicaLoad(running=1, waiting=3, slots=2, queue_wait_s=2.5)
    watch = board(Cluster(2), model(FakeReply(seen)))
    await watch.refresh()
    load = watch.snapshot()[NAME]
    assert (load.state, load.replicas, load.queue_wait_s) == ("running", 2, 2.5)


async def test_a_deployment_without_a_replica_is_cold_and_is_not_asked() -> None:
    handle = model()
    watch = board(Cluster(0), handle)
    await watch.refresh()
    assert watch.snapshot()[NAME].state == "cold"
    assert handle.asked == 0


async def test_one_that_ran_and_has_no_replica_is_lost() -> None:
    cluster = Cluster(1)
    watch = board(cluster, model())
    await watch.refresh()
    cluster.replicas = 0
    await watch.refresh()
    assert watch.snapshot()[NAME].state == "lost"


async def test_one_that_was_scaled_to_zero_is_cold_not_lost() -> None:
    cluster = Cluster(1)
    watch = board(cluster, model(), to_zero())
    await watch.refresh()
    cluster.replicas = 0
    await watch.refresh()
    assert watch.snapshot()[NAME].state == "cold"


async def test_a_death_is_known_before_serve_knows_and_forgotten_when_a_replica_answers() -> None:
    watch = board(Cluster(1), model())
    await watch.refresh()
    watch.died(NAME)
    assert watch.snapshot()[NAME].state == "lost"
    await watch.refresh()
    assert watch.snapshot()[NAME].state == "running"


async def test_a_dead_replica_stays_lost_while_serve_still_counts_it() -> None:
    watch = board(Cluster(1), model(FakeReply(RayActorError())))
    await watch.refresh()
    assert watch.snapshot()[NAME].state == "lost"


async def test_one_death_of_several_leaves_the_deployment_running() -> None:
    watch = board(Cluster(2), model())
    await watch.refresh()
    watch.died(NAME)
    assert watch.snapshot()[NAME].state == "running"


async def test_a_status_that_fails_leaves_the_last_count(caplog: pytest.LogCaptureFixture) -> None:
    cluster = Cluster(1)
    watch = board(cluster, model())
    await watch.refresh()
    cluster.failure = RuntimeError("the controller restarts")
    await watch.refresh()
    assert watch.snapshot()[NAME].state == "running"
    assert "status is not available" in caplog.text


async def test_a_replica_too_busy_to_answer_is_not_waited_for() -> None:
    async def never() -> ReplicaLoad:
        await asyncio.Event().wait()
        return QUIET

    watch = board(Cluster(1), model(FakeReply(never)))
    async with asyncio.timeout(1):
        await watch.refresh()
    assert watch.snapshot()[NAME].state == "running"


async def test_calls_in_flight_count_at_once_and_fill_the_bound() -> None:
    watch = board(Cluster(1), model())
    await watch.refresh()
    for _ in range(3):  # two running, one queued
        watch.sent(NAME)
    assert watch.snapshot()[NAME].state == "overloaded"
    watch.finished(NAME)
    assert watch.snapshot()[NAME].state == "running"


async def test_the_background_task_keeps_watching_until_it_is_closed() -> None:
    cluster = Cluster(0)
    watch = board(cluster, model())
    watch.start()
    cluster.replicas = 1
    async with asyncio.timeout(2):
        while watch.snapshot()[NAME].state != "running":  # noqa: ASYNC110  # polled by design
            await asyncio.sleep(0.01)
    await watch.close()
    cluster.replicas = 0
    await asyncio.sleep(0.05)
    assert watch.snapshot()[NAME].state == "running"


async def rounds(handle: FakeModel, count: int) -> None:
    """Waits until the replica was asked for its load that many times more."""
    wanted = handle.asked + count
    async with asyncio.timeout(5):
        while handle.asked < wanted:  # noqa: ASYNC110  # polled by design
            await asyncio.sleep(0.001)


async def test_serve_is_asked_rarely_while_nothing_changes_and_often_after_a_death() -> None:
    cluster, handle = Cluster(1), model(FakeReply(QUIET))
    watch = board(cluster, handle)
    watch.start()
    await rounds(handle, AGREEING_ROUNDS + 1)
    before = cluster.asked
    await rounds(handle, 4 * RARE_ROUND)
    in_quiet = cluster.asked - before
    watch.died(NAME)
    before = cluster.asked
    await rounds(handle, AGREEING_ROUNDS)
    await watch.close()
    assert 3 <= in_quiet <= 5
    assert cluster.asked - before >= AGREEING_ROUNDS - 1


async def test_serve_is_asked_all_the_time_while_a_deployment_lacks_replicas() -> None:
    cluster, handle = Cluster(1), model(FakeReply(QUIET))
    deployment = (
        profile()
        .deployments[NAME]
        .model_copy(update={"scaling": Scaling(min_replicas=2, max_replicas=2)})
    )
    watch = board(cluster, handle, deployment)
    watch.start()
    await rounds(handle, 3 * AGREEING_ROUNDS)
    await watch.close()
    assert cluster.asked >= 3 * AGREEING_ROUNDS - 1


async def test_waking_asks_a_deployment_at_zero_once() -> None:
    handle = model(FakeReply(QUIET))
    watch = board(Cluster(0), handle, to_zero())
    watch.wake(NAME)
    watch.wake(NAME)
    await asyncio.sleep(0.01)
    assert handle.asked == 1
    await watch.close()


async def test_waking_leaves_alone_what_never_sleeps() -> None:
    handle = model()
    watch = board(Cluster(0), handle)
    watch.wake(NAME)
    await asyncio.sleep(0.01)
    assert handle.asked == 0


def test_a_busy_deployment_asks_callers_to_come_back_after_its_queue() -> None:
    watched = Watched(profile().deployments[NAME])
    watched.count(1)
    watched.answered(ReplicaLoad(running=2, waiting=9, slots=2, queue_wait_s=12.0))
    assert watched.load().retry_after_s == 12.0
