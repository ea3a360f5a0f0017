"""The dispatcher over fake handles: retries, spillover, deadlines, cancellation, records."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from router_fakes import (
    NAMES,
    SMALL,
    BackPressureError,
    FakeModel,
    FakeReply,
    FakeStream,
    RayActorError,
    chat,
    embedding,
    profile,
    served,
    vectors,
)

from bestiary.errors import (
    ContextOverflow,
    DeadlineExceeded,
    EngineFailure,
    Overloaded,
    ReplicaLost,
)
from bestiary.schemas.encoder import EmbeddingRequest
from bestiary.schemas.text import CountTokensRequest, TextRequest
from services.router.dispatcher import Dispatcher
from services.router.load_board import LoadBoard
from services.router.policy import RoutingPolicy
from services.router.rules import FixedRules

REQUEST = TextRequest(request_id="r", text="hello")
EMBED = EmbeddingRequest(request_id="r", inputs=("hello",))


class Stage:
    """A dispatcher with everything around it; deployments not given are there but mute."""

    def __init__(self, models: Mapping[str, FakeModel], replicas: int = 1) -> None:
        self.models = {name: FakeModel(FakeStream("mute")) for name in NAMES} | dict(models)

        async def counted() -> dict[str, int]:
            return dict.fromkeys(NAMES, replicas)

        self.board = LoadBoard(profile().deployments, NAMES, self.models.__getitem__, counted)
        rules = FixedRules(RoutingPolicy(profile(), served(*NAMES), {}))
        self.dispatcher = Dispatcher(rules, self.board, self.models.__getitem__)

    def in_flight(self) -> int:
        return sum(load.in_flight for load in self.board.snapshot().values())

    def asked(self, name: str) -> int:
        return self.models[name].asked - 1  # the board's own question


async def staged(replicas: int = 1, **models: FakeModel) -> Stage:
    stage = Stage({name.replace("_", "-"): model for name, model in models.items()}, replicas)
    await stage.board.refresh()
    return stage


async def text_of(stage: Stage, model: str = "gecko", strict: bool = False) -> str:
    async with await stage.dispatcher.generate(chat(model, strict), REQUEST) as call:
        return "".join([piece.text async for chunk in call for piece in chunk])


async def test_chunks_arrive_in_order_and_the_books_close() -> None:
    stage = await staged(small_int8=FakeModel(FakeStream("a", "b", "c")))
    assert await text_of(stage) == "abc"
    assert stage.in_flight() == 0


async def test_a_call_counts_as_in_flight_until_it_is_closed() -> None:
    stage = await staged(small_int8=FakeModel(FakeStream("a", "b")))
    call = await stage.dispatcher.generate(chat("gecko"), REQUEST)
    assert stage.in_flight() == 1
    await call.aclose()
    assert stage.in_flight() == 0


async def test_closing_early_cancels_the_replica_once() -> None:
    stream = FakeStream("a", forever=True)
    stage = await staged(small_int8=FakeModel(stream))
    call = await stage.dispatcher.generate(chat("gecko"), REQUEST)
    await call.aclose()
    await call.aclose()
    assert stream.cancelled
    assert stage.in_flight() == 0


async def test_a_finished_stream_is_not_cancelled() -> None:
    stream = FakeStream("a")
    await text_of(await staged(small_int8=FakeModel(stream)))
    assert not stream.cancelled


async def test_the_record_tells_the_times() -> None:
    stage = await staged(small_int8=FakeModel(FakeStream("a", "b")))
    call = await stage.dispatcher.generate(chat("gecko"), REQUEST)
    async for _ in call:
        pass
    record = call.record
    assert record.decision.tier == "gecko"
    assert record.first_chunk_s is not None
    assert 0 < record.first_chunk_s <= record.call_s
    assert record.routing_s > 0


async def test_a_full_queue_spills_over() -> None:
    stage = await staged(
        small_int8=FakeModel(FakeStream(BackPressureError())),
        small_fp32=FakeModel(FakeStream("stood in")),
    )
    call = await stage.dispatcher.generate(chat("gecko"), REQUEST)
    assert (call.decision.tier, call.decision.reason) == ("otter", "spillover-overloaded")


async def test_an_overload_of_the_engine_spills_over_too() -> None:
    stage = await staged(
        small_int8=FakeModel(FakeStream(Overloaded("no slot", 2.0))),
        small_fp32=FakeModel(FakeStream("stood in")),
    )
    assert await text_of(stage) == "stood in"


async def test_full_queues_everywhere_are_overloaded_with_their_retry_after() -> None:
    full = {
        name: FakeModel(FakeStream(BackPressureError())) for name in ("small_int8", "small_fp32")
    }
    stage = await staged(**full)
    with pytest.raises(Overloaded) as caught:
        await text_of(stage)
    assert caught.value.retry_after_s == 7.0
    assert stage.in_flight() == 0


async def test_strict_forbids_the_spillover() -> None:
    stage = await staged(small_int8=FakeModel(FakeStream(BackPressureError())))
    with pytest.raises(Overloaded):
        await text_of(stage, strict=True)
    assert stage.asked("small-fp32") == 0


async def test_a_replica_that_dies_before_the_first_chunk_is_replaced_by_another() -> None:
    stage = await staged(
        replicas=2, small_int8=FakeModel(FakeStream(RayActorError()), FakeStream("second"))
    )
    assert await text_of(stage) == "second"
    assert stage.asked("small-int8") == 2


async def test_the_death_of_the_only_replica_spills_over_and_is_remembered() -> None:
    stage = await staged(
        small_int8=FakeModel(FakeStream(RayActorError())),
        small_fp32=FakeModel(FakeStream("stood in"), FakeStream("stood in")),
    )
    assert await text_of(stage) == "stood in"
    assert stage.board.snapshot()["small-int8"].state == "lost"
    await text_of(stage)
    assert stage.asked("small-int8") == 1


async def test_a_death_with_nobody_else_is_replica_lost() -> None:
    stage = await staged(small_int8=FakeModel(FakeStream(RayActorError())))
    with pytest.raises(ReplicaLost):
        await text_of(stage, strict=True)


async def test_a_second_death_is_not_forgiven() -> None:
    stage = await staged(
        replicas=3, small_int8=FakeModel(*(FakeStream(RayActorError()) for _ in range(3)))
    )
    with pytest.raises(ReplicaLost):
        await text_of(stage)
    assert stage.asked("small-int8") == 2


async def test_a_death_after_the_first_chunk_is_never_retried() -> None:
    stage = await staged(replicas=2, small_int8=FakeModel(FakeStream("a", RayActorError())))
    with pytest.raises(ReplicaLost):
        await text_of(stage)
    assert stage.asked("small-int8") == 1
    assert stage.in_flight() == 0


async def test_bad_input_is_not_retried() -> None:
    stage = await staged(small_int8=FakeModel(FakeStream(ContextOverflow("too long"))))
    with pytest.raises(ContextOverflow):
        await text_of(stage)
    assert stage.asked("small-fp32") == 0


async def test_an_unknown_failure_hides_its_text() -> None:
    stage = await staged(small_int8=FakeModel(FakeStream(ValueError("10.0.0.1 pid=3"))))
    with pytest.raises(EngineFailure, match=r"^the model's engine failed.*\(ValueError\)$"):
        await text_of(stage)


@pytest.mark.parametrize("stream", [FakeStream(forever=True), FakeStream("a", forever=True)])
async def test_the_deadline_holds_before_and_after_the_first_chunk(stream: FakeStream) -> None:
    stage = await staged(small_int8=FakeModel(stream))
    request = REQUEST.model_copy(update={"deadline_s": 0.05})
    with pytest.raises(DeadlineExceeded):
        async for _ in await stage.dispatcher.generate(chat("gecko"), request):
            pass
    assert stream.cancelled
    assert stage.in_flight() == 0


@pytest.mark.parametrize("stream", [FakeStream(forever=True), FakeStream("a", forever=True)])
async def test_a_cancelled_caller_frees_the_replica(stream: FakeStream) -> None:
    stage = await staged(small_int8=FakeModel(stream))
    task = asyncio.create_task(text_of(stage))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stream.cancelled
    assert stage.in_flight() == 0


async def test_embed_answers_with_its_record() -> None:
    stage = await staged(embed=FakeModel(FakeStream(), embeds=(FakeReply(vectors()),)))
    result, record = await stage.dispatcher.embed(embedding("auto"), EMBED)
    assert result.prompt_tokens == (1,)
    assert record.decision.deployment == "embed"
    assert record.call_s > 0
    assert stage.in_flight() == 0


async def test_embed_is_retried_once_after_a_death() -> None:
    replies = (FakeReply[object](RayActorError()), FakeReply(vectors()))
    stage = await staged(replicas=2, embed=FakeModel(FakeStream(), embeds=replies))
    await stage.dispatcher.embed(embedding("auto"), EMBED)
    assert stage.asked("embed") == 2


async def test_a_late_embed_is_cancelled() -> None:
    never = FakeReply(lambda: asyncio.Event().wait())
    stage = await staged(embed=FakeModel(FakeStream(), embeds=(never,)))
    request = EMBED.model_copy(update={"deadline_s": 0.05})
    with pytest.raises(DeadlineExceeded):
        await stage.dispatcher.embed(embedding("auto"), request)
    assert never.cancelled
    assert stage.in_flight() == 0


async def test_count_tokens_goes_to_the_model() -> None:
    stage = await staged()
    count, record = await stage.dispatcher.count_tokens(
        chat(SMALL), CountTokensRequest(text="hello")
    )
    assert count.count == 3
    assert record.decision.model == SMALL


async def test_our_own_bound_refuses_without_asking_the_replica() -> None:
    stage = await staged(small_int8=FakeModel(*(FakeStream("a", forever=True) for _ in range(4))))
    route = chat(SMALL, strict=True)
    calls = [await stage.dispatcher.generate(chat("gecko", strict=True), REQUEST) for _ in range(3)]
    with pytest.raises(Overloaded):  # two running, one queued: the profile's bound
        await stage.dispatcher.generate(chat("gecko", strict=True), REQUEST)
    assert stage.asked("small-int8") == 3
    assert (await stage.dispatcher.generate(route, REQUEST)).decision.deployment == "small-fp32"
    for call in calls:
        await call.aclose()
