"""Rules that follow what is published: real stores, a real board, fake replicas."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from router_fakes import NAMES, SMALL, FakeModel, FakeStream, chat
from router_published import HOME, TUNED, gateway_args, published, whole

from bestiary.errors import ModelNotFound, Unavailable
from bestiary.profile.published import deployment_name
from bestiary.schemas.publishing import CanaryRules, PublishedModel
from bestiary.schemas.routing import RouteRequest
from bestiary.schemas.text import TextRequest
from bestiary.state.canaries import Canaries
from bestiary.state.database import Database
from bestiary.state.published_models import PublishedModels
from bestiary.state.upgrade import upgrade
from services.router.dispatcher import Dispatcher
from services.router.live_rules import LiveRules, Versioned
from services.router.load_board import LoadBoard

OWN = deployment_name(TUNED)
REQUEST = TextRequest(request_id="r", text="hello")


@dataclass
class Platform:
    """Everything that a gateway replica routes with."""

    models: PublishedModels
    canaries: Canaries
    board: LoadBoard
    rules: LiveRules
    dispatcher: Dispatcher
    replicas: dict[str, FakeModel]


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Callable[..., Platform]]:
    url = f"sqlite:///{tmp_path}/state.db"
    upgrade(url)
    database = Database(url)

    def made(period_s: float = 60.0, models: Versioned[PublishedModel] | None = None) -> Platform:
        stored, canaries = PublishedModels(database), Canaries(database)
        replicas = {name: FakeModel(FakeStream("mute")) for name in (*NAMES, OWN)}

        async def counted() -> dict[str, int]:
            return dict.fromkeys(replicas, 1)

        args = gateway_args()
        board = LoadBoard(args.profile.deployments, NAMES, replicas.__getitem__, counted)
        source = stored if models is None else models
        rules = LiveRules(args, HOME, source, canaries, board, period_s=period_s)
        dispatcher = Dispatcher(rules, board, replicas.__getitem__)
        return Platform(stored, canaries, board, rules, dispatcher, replicas)

    yield made
    database.close()


async def test_a_model_answers_as_soon_as_it_is_published(platform: Callable[[], Platform]) -> None:
    here = platform()
    await here.board.refresh()
    with pytest.raises(ModelNotFound):
        await here.dispatcher.generate(chat(TUNED), REQUEST)
    here.models.add(published())
    async with await here.dispatcher.generate(chat(TUNED), REQUEST) as call:
        assert call.decision.model == TUNED
    assert TUNED in [one.id for one in here.dispatcher.models()]
    await here.rules.close()


async def test_a_name_is_learnt_before_anything_that_does_not_wait(
    platform: Callable[[], Platform],
) -> None:
    here = platform()
    here.models.add(published())
    await here.dispatcher.acquaint(TUNED)
    assert here.dispatcher.card(TUNED).id == TUNED
    await here.rules.close()


async def test_a_deleted_model_stops_and_a_canary_starts_by_themselves(
    platform: Callable[[float], Platform],
) -> None:
    here = platform(0.02)
    here.models.add(published())
    await here.rules.look()
    here.rules.start()
    here.canaries.start("pets", SMALL, TUNED, CanaryRules(), weight=1.0)
    async with asyncio.timeout(5):
        while not here.rules.now.knows("pets"):  # noqa: ASYNC110  # polled by design
            await asyncio.sleep(0.01)
    here.canaries.end("pets")
    here.models.delete(TUNED)
    async with asyncio.timeout(5):
        while here.rules.now.knows(TUNED):  # noqa: ASYNC110  # polled by design
            await asyncio.sleep(0.01)
    with pytest.raises(ModelNotFound):
        await here.dispatcher.generate(chat(TUNED), REQUEST)
    await here.rules.close()


async def test_a_whole_models_deployment_is_watched_and_forgotten(
    platform: Callable[[], Platform],
) -> None:
    here = platform()
    here.models.add(whole())
    await here.rules.look()
    await here.board.refresh()
    assert here.board.snapshot()[OWN].state == "running"
    here.models.delete(TUNED)
    await here.rules.look()
    assert OWN not in here.board.snapshot()
    await here.rules.close()


async def test_calls_under_way_end_in_the_books_whatever_is_published_meanwhile(
    platform: Callable[[], Platform],
) -> None:
    here = platform()
    here.models.add(whole())
    await here.rules.look()
    await here.board.refresh()
    here.replicas[OWN] = FakeModel(FakeStream("a", "b"))
    here.replicas["small-int8"] = FakeModel(FakeStream("a", "b"))
    call = await here.dispatcher.generate(chat(TUNED), REQUEST)
    other = await here.dispatcher.generate(chat("gecko"), REQUEST)
    second = f"ft:{SMALL}:more:ffff0000"
    here.models.add(published(second))
    here.models.delete(TUNED)
    await here.rules.look()
    assert here.board.snapshot()["small-int8"].in_flight == 1
    assert ["".join(p.text for p in chunk) async for chunk in call] == ["a", "b"]
    async with other:
        assert ["".join(p.text for p in chunk) async for chunk in other] == ["a", "b"]
    assert here.board.snapshot()["small-int8"].in_flight == 0
    assert here.rules.now.knows(second)
    await here.rules.close()


async def test_a_call_on_a_deployment_that_comes_back_is_counted_there(
    platform: Callable[[], Platform],
) -> None:
    here = platform()
    deployments = {**gateway_args().profile.deployments}
    here.board.sent("large")
    here.board.watch(deployments, ["small-int8"])
    here.board.watch(deployments, NAMES)
    assert here.board.snapshot()["large"].in_flight == 1
    here.board.finished("large")
    assert here.board.snapshot()["large"].in_flight == 0
    await here.rules.close()


class Slow:
    """A store that takes its time, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.open = threading.Event()
        self.error: Exception | None = None

    def version(self) -> int:
        self.asked += 1
        if self.error is not None:
            raise self.error
        self.open.wait(5)
        return 1

    def list(self) -> tuple[()]:
        return ()


async def test_a_flood_of_unknown_names_is_one_look_at_a_time(
    platform: Callable[..., Platform],
) -> None:
    store = Slow()
    here = platform(models=store)
    asking = [asyncio.create_task(here.rules.knowing(f"ft:{n}")) for n in range(50)]
    await asyncio.sleep(0.05)
    asking += [asyncio.create_task(here.rules.knowing(f"ft:{n}")) for n in range(50)]
    await asyncio.sleep(0.05)
    assert store.asked == 1
    store.open.set()
    await asyncio.gather(*asking)
    assert store.asked == 2  # the later ones may be in what the first look came too early for
    await here.rules.close()


async def test_known_names_ask_nobody(platform: Callable[..., Platform]) -> None:
    store = Slow()
    here = platform(models=store)
    for name in ("auto", "", "gecko", "unicorn", "text-bison-001", SMALL, "large"):
        await here.rules.knowing(name)
    assert store.asked == 0
    await here.rules.close()


async def test_a_database_that_does_not_answer_leaves_what_there_is(
    platform: Callable[..., Platform], caplog: pytest.LogCaptureFixture
) -> None:
    store = Slow()
    store.error = Unavailable("the state database does not answer")
    here = platform(models=store)
    with pytest.raises(ModelNotFound):
        await here.dispatcher.generate(chat(TUNED), REQUEST)
    assert "cannot be read" in caplog.text
    assert here.rules.now.knows("gecko")
    await here.rules.close()


async def test_looking_goes_on_after_a_failure_that_nobody_foresaw(
    platform: Callable[..., Platform], caplog: pytest.LogCaptureFixture
) -> None:
    store = Slow()
    store.error = KeyError("a column")
    here = platform(0.01, models=store)
    here.rules.start()
    async with asyncio.timeout(5):
        while store.asked < 2:  # noqa: ASYNC110  # polled by design
            await asyncio.sleep(0.01)
    assert "it goes on" in caplog.text
    await here.rules.close()


async def test_a_request_keeps_the_side_that_it_drew(platform: Callable[[], Platform]) -> None:
    here = platform()
    here.models.add(published())
    here.canaries.start("pets", SMALL, TUNED, CanaryRules(), weight=0.5)
    await here.dispatcher.acquaint("pets")
    await here.board.refresh()
    for _ in range(20):
        route = RouteRequest(model="pets", family="text")
        resolved = here.dispatcher.resolve(route).model
        async with await here.dispatcher.generate(route, REQUEST) as call:
            assert call.decision.model == resolved
    await here.rules.close()
