"""SmolLM2 itself: batches equal solo runs, and the service keeps what the schemas promise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bestiary.errors import ContextOverflow, InvalidRequest
from bestiary.garden import Garden
from bestiary.profile.applications import ReplicaArgs
from bestiary.profile.models import Precision, Queue, Resources, Scaling, TextEngine
from bestiary.progress import Silent
from bestiary.schemas.text import (
    ChatMessage,
    CountTokensRequest,
    FinishReason,
    Sampling,
    TextChunk,
    TextRequest,
)
from deployments.text.opening import OpenModel, open_model, prepare_model, start_service
from deployments.text.service import TextService

CARD = "smollm2-135m-instruct"
STREAMS = 16
NEW_TOKENS = 16
SUBJECTS = ("the sea", "a lamp", "old maps", "Zürich", "你好", "rain", "bread", "a very long road")


def replica_args(home: Path, precision: Precision) -> ReplicaArgs:
    return ReplicaArgs(
        deployment="test",
        card=Garden(home).card(CARD),
        resources=Resources(),
        scaling=Scaling(),
        queue=Queue(),
        text=TextEngine(precision=precision, slots=STREAMS, context=512, prefill_chunk=32),
    )


def opened(home: Path, precision: Precision) -> tuple[OpenModel, ReplicaArgs]:
    args = replica_args(home, precision)
    prepare_model(args, home, Silent())
    return open_model(args, home), args


@pytest.fixture(scope="module")
def int8(installed_home: Path) -> tuple[OpenModel, ReplicaArgs]:
    return opened(installed_home, "int8")


@pytest.fixture
async def service(int8: tuple[OpenModel, ReplicaArgs]) -> AsyncIterator[TextService]:
    made = start_service(*int8)
    yield made
    await made.close()


def asking(number: int, **fields: object) -> TextRequest:
    """Prompts of different lengths, some longer than one prefill chunk."""
    subject = SUBJECTS[number % len(SUBJECTS)]
    content = f"Write about {subject}. " * (1 + number % 4) + f"Number {number}."
    message = ChatMessage(role="user", content=content)
    sampling = Sampling(temperature=0, max_tokens=NEW_TOKENS)
    filled = {"request_id": str(number), "messages": (message,), "sampling": sampling}
    return TextRequest.model_validate(filled | fields)


async def read(service: TextService, request: TextRequest) -> list[TextChunk]:
    return [chunk async for chunks in service.generate(request) for chunk in chunks]


def said(chunks: list[TextChunk]) -> tuple[str, tuple[int, ...]]:
    return (
        "".join(chunk.text for chunk in chunks),
        tuple(one for chunk in chunks for one in chunk.token_ids),
    )


async def joining_late(service: TextService, number: int) -> tuple[str, tuple[int, ...]]:
    await asyncio.sleep(0.02 * number)
    return said(await read(service, of_own_length(number)))


def of_own_length(number: int) -> TextRequest:
    return asking(number, sampling=Sampling(temperature=0, max_tokens=4 + number))


async def assert_staggered_streams_equal_solo_runs(service: TextService) -> None:
    together = await asyncio.gather(*(joining_late(service, one) for one in range(STREAMS)))
    for number in range(STREAMS):
        assert together[number] == said(await read(service, of_own_length(number)))
    assert service.load().running == 0
    assert service.load().kv_cache_usage == 0


async def test_sixteen_staggered_streams_equal_their_solo_runs_int8(service: TextService) -> None:
    await assert_staggered_streams_equal_solo_runs(service)


@pytest.mark.slow
async def test_sixteen_staggered_streams_equal_their_solo_runs_fp32(installed_home: Path) -> None:
    service = start_service(*opened(installed_home, "fp32"))
    await assert_staggered_streams_equal_solo_runs(service)
    await service.close()


async def test_seeded_candidates_are_the_same_again_in_a_crowd(service: TextService) -> None:
    sampling = Sampling(temperature=1.0, top_p=0.95, seed=5, max_tokens=NEW_TOKENS)
    request = asking(1, sampling=sampling, candidates=3)
    alone = await read(service, request)
    crowd = [asyncio.create_task(read(service, asking(number))) for number in range(8)]
    again = await read(service, request)
    await asyncio.gather(*crowd)
    for candidate in range(3):
        first, second = (
            said([chunk for chunk in chunks if chunk.candidate == candidate])
            for chunks in (alone, again)
        )
        assert first == second


async def test_a_chat_answer_ends_by_itself_and_its_receipt_adds_up(service: TextService) -> None:
    message = ChatMessage(role="user", content="Answer with one word: the capital of France?")
    request = TextRequest(
        request_id="r", messages=(message,), sampling=Sampling(temperature=0, max_tokens=60)
    )
    *_, last = await read(service, request)
    assert last.finish_reason is FinishReason.STOP
    assert last.usage is not None
    assert last.timings is not None
    counted = await service.count_tokens(CountTokensRequest(messages=(message,)))
    assert counted.count == last.usage.prompt_tokens
    stages = last.timings.queue_s + last.timings.prefill_s + last.timings.decode_s
    assert stages <= last.timings.total_s < stages * 1.2 + 0.1


async def test_no_stop_sequence_leaks(service: TextService) -> None:
    whole, _ = said(await read(service, asking(2)))
    stop = whole[len(whole) // 2 :][:5]
    limited = Sampling(temperature=0, max_tokens=NEW_TOKENS, stop=(stop,))
    text, _ = said(await read(service, asking(2, sampling=limited)))
    assert text == whole[: whole.index(stop)]


async def test_a_reader_that_leaves_frees_its_row(service: TextService) -> None:
    stream = service.generate(asking(3, sampling=Sampling(temperature=0, max_tokens=300)))
    await anext(stream)
    await stream.aclose()
    async with asyncio.timeout(10):
        while service.load().running:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)


async def test_a_long_prompt_is_tokenised_without_holding_up_the_event_loop(
    service: TextService,
) -> None:
    longest = 0.0
    over = asyncio.Event()

    async def watch() -> None:
        nonlocal longest
        clock = asyncio.get_running_loop().time
        before = clock()
        while not over.is_set():
            await asyncio.sleep(0.001)
            longest, before = max(longest, clock() - before), clock()

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    with pytest.raises(ContextOverflow):
        await read(service, asking(0, messages=None, text="many words " * 300_000))
    over.set()
    await watching
    assert longest < 1.0  # it takes several seconds in all


async def test_bad_prompts_are_refused_before_they_cost_anything(service: TextService) -> None:
    with pytest.raises(InvalidRequest, match="from 0 to"):
        await read(service, asking(0, messages=None, token_ids=(49152,)))
    assert service.load().running == 0
