"""How ends of requests become a canary's counts: once each, and never in a request's way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from router_fakes import (
    NAMES,
    SMALL,
    FakeModel,
    FakeReply,
    FakeStream,
    RayActorError,
    embedding,
    vectors,
)
from router_published import TUNED, canary, laid, published

from bestiary.errors import (
    BestiaryError,
    ContextOverflow,
    DeadlineExceeded,
    EngineFailure,
    InvalidRequest,
    KernelError,
    Overloaded,
    ReplicaLost,
    Unavailable,
)
from bestiary.schemas.encoder import EmbeddingRequest
from bestiary.schemas.publishing import ArmCounts, CanaryRules
from bestiary.schemas.routing import RouteRequest
from bestiary.schemas.text import CountTokensRequest, TextRequest
from bestiary.state.canaries import Canaries
from bestiary.state.database import Database
from bestiary.state.upgrade import upgrade
from services.router.arms import ArmRecorder
from services.router.dispatcher import Dispatcher
from services.router.load_board import LoadBoard
from services.router.policy import RoutingPolicy
from services.router.rules import FixedRules
from services.router.splits import Arm

BASE, CANDIDATE = Arm("pets", candidate=False), Arm("pets", candidate=True)
TO_CANDIDATE = RouteRequest(model="pets", family="text", draw=0.0)
TO_BASE = RouteRequest(model="pets", family="text", draw=0.9)
REQUEST = TextRequest(request_id="r", text="hello")


class Heard:
    """`Arms` that remembers."""

    def __init__(self) -> None:
        self.ends: list[tuple[Arm, str | None, bool]] = []

    def ended(self, arm: Arm, error: BestiaryError | None, first_token_s: float | None) -> None:
        self.ends.append((arm, error.code if error else None, first_token_s is not None))


async def dispatcher(heard: Heard, replicas: int = 1, **models: FakeModel) -> Dispatcher:
    """`small_fp32` is the candidate's deployment."""
    handles = {name: FakeModel(FakeStream("mute")) for name in NAMES}
    handles |= {name.replace("_", "-"): model for name, model in models.items()}

    async def counted() -> dict[str, int]:
        return dict.fromkeys(NAMES, replicas)

    over = laid(published())
    canaries = (canary(), canary("vectors", base="embed", candidate="embedding-gecko-001"))
    rules = RoutingPolicy(over.profile, over.served, over.absent, canaries)
    board = LoadBoard(over.profile.deployments, NAMES, handles.__getitem__, counted)
    await board.refresh()
    return Dispatcher(FixedRules(rules), board, handles.__getitem__, arms=heard)


async def read(router: Dispatcher, route: RouteRequest) -> None:
    async with await router.generate(route, REQUEST) as call:
        async for _ in call:
            pass


async def test_each_side_is_told_of_its_own() -> None:
    heard = Heard()
    router = await dispatcher(heard)
    await read(router, TO_CANDIDATE)
    await read(router, TO_BASE)
    await read(router, RouteRequest(model="gecko", family="text"))
    assert heard.ends == [(CANDIDATE, None, True), (BASE, None, True)]


async def test_the_candidates_adapter_goes_with_the_request_and_only_there() -> None:
    candidate, base = FakeModel(FakeStream("a")), FakeModel(FakeStream("a"))
    router = await dispatcher(Heard(), small_fp32=candidate, small_int8=base)
    await read(router, TO_CANDIDATE)
    await read(router, TO_BASE)
    adapter = candidate.requests[0].adapter
    assert adapter is not None
    assert adapter.name == TUNED
    assert base.requests == [REQUEST]


async def test_a_request_that_was_tried_again_ends_once() -> None:
    heard = Heard()
    model = FakeModel(FakeStream(RayActorError()), FakeStream("second"))
    await read(await dispatcher(heard, replicas=2, small_fp32=model), TO_CANDIDATE)
    assert heard.ends == [(CANDIDATE, None, True)]


async def test_a_death_with_nobody_else_is_the_candidates_error_once() -> None:
    heard = Heard()
    router = await dispatcher(heard, small_fp32=FakeModel(FakeStream(RayActorError())))
    with pytest.raises(ReplicaLost):
        await read(router, TO_CANDIDATE)
    assert heard.ends == [(CANDIDATE, "replica_lost", False)]


async def test_a_broken_stream_is_an_error_with_its_first_token() -> None:
    heard = Heard()
    router = await dispatcher(heard, small_fp32=FakeModel(FakeStream("a", RayActorError())))
    with pytest.raises(ReplicaLost):
        await read(router, TO_CANDIDATE)
    assert heard.ends == [(CANDIDATE, "replica_lost", True)]


async def test_a_candidate_that_does_not_run_is_its_error() -> None:
    heard = Heard()
    router = await dispatcher(heard, replicas=0)
    with pytest.raises(Unavailable):
        await read(router, TO_CANDIDATE)
    assert heard.ends == [(CANDIDATE, "unavailable", False)]


async def test_whole_answers_count_and_counts_of_tokens_do_not() -> None:
    heard = Heard()
    router = await dispatcher(heard, embed=FakeModel(FakeStream(), embeds=(FakeReply(vectors()),)))
    route = embedding("vectors").model_copy(update={"draw": 0.0})
    await router.embed(route, EmbeddingRequest(request_id="r", inputs=("hello",)))
    await router.count_tokens(TO_CANDIDATE, CountTokensRequest(text="hello"))
    assert heard.ends == [(Arm("vectors", candidate=True), None, True)]


@pytest.fixture
def canaries(tmp_path: Path) -> Iterator[Canaries]:
    url = f"sqlite:///{tmp_path}/state.db"
    upgrade(url)
    database = Database(url)
    found = Canaries(database)
    found.start("pets", SMALL, TUNED, CanaryRules())
    yield found
    database.close()


async def test_counts_are_written_down_and_add_up(canaries: Canaries) -> None:
    recorder = ArmRecorder(canaries.count, period_s=0.01)
    recorder.start()
    recorder.ended(CANDIDATE, None, 0.5)
    async with asyncio.timeout(5):
        while canaries.get("pets").candidate_counts.requests == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    recorder.ended(CANDIDATE, EngineFailure("broke"), 0.25)
    recorder.ended(CANDIDATE, DeadlineExceeded("late"), None)
    recorder.ended(BASE, None, 1.0)
    await recorder.close()
    found = canaries.get("pets")
    assert found.candidate_counts == ArmCounts(requests=3, errors=2, first_token_s=0.75, timed=2)
    assert found.base_counts == ArmCounts(requests=1, first_token_s=1.0, timed=1)


@pytest.mark.parametrize(
    ("error", "errors"),
    [
        (ReplicaLost("died"), 1),
        (EngineFailure("broke"), 1),
        (Unavailable("cold"), 1),
        (DeadlineExceeded("late"), 1),
        (KernelError("it does not fit"), 1),
        (None, 0),  # hung up on before anything came
        (ContextOverflow("too long"), 0),
        (InvalidRequest("what?"), 0),
        (Overloaded("full"), 0),
    ],
)
async def test_only_the_platforms_errors_count(
    canaries: Canaries, error: BestiaryError | None, errors: int
) -> None:
    recorder = ArmRecorder(canaries.count)
    recorder.ended(CANDIDATE, error, None)
    await recorder.close()
    counts = canaries.get("pets").candidate_counts
    assert (counts.requests, counts.errors) == (errors, errors)


async def test_what_cannot_be_written_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    written: list[ArmCounts] = []
    broken = [Unavailable("the state database does not answer")]

    def count(alias: str, *, base: ArmCounts, candidate: ArmCounts) -> None:
        if broken:
            raise broken.pop()
        written.append(candidate)

    recorder = ArmRecorder(count)
    recorder.ended(CANDIDATE, None, 0.5)
    await recorder.flush()
    recorder.ended(CANDIDATE, None, 0.5)
    await recorder.close()
    assert written == [ArmCounts(requests=2, first_token_s=1.0, timed=2)]
    assert "not counted yet" in caplog.text


async def test_a_canary_that_has_ended_is_not_counted(canaries: Canaries) -> None:
    recorder = ArmRecorder(canaries.count)
    recorder.ended(Arm("gone", candidate=True), None, 0.5)
    await recorder.close()
    assert canaries.get("pets").candidate_counts == ArmCounts()
