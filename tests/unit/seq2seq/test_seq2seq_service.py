"""The service: typed requests in, typed outputs, chunks and errors out."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest

from bestiary.errors import (
    ContextOverflow,
    DeadlineExceeded,
    EngineFailure,
    InvalidRequest,
    Overloaded,
)
from bestiary.schemas.seq2seq import Decoding, Seq2SeqRequest
from bestiary.schemas.text import CountTokensRequest
from tests.unit.seq2seq.conftest import Start

TEXTS = ("w20 w21 w22", "w30 w31 w32 w33 w34 w35", "w40", "w50 w51")


def request(*inputs: str, **fields: Any) -> Seq2SeqRequest:
    asked = {"source_language": "en", "target_language": "de"} | fields
    return Seq2SeqRequest(request_id="r", task="translate", inputs=inputs or TEXTS, **asked)


async def test_a_batch_equals_its_inputs_alone(start: Start) -> None:
    service = start()
    together = await service.generate(request())
    alone = [await service.generate(request(text)) for text in TEXTS]
    assert together.outputs == tuple(one.outputs[0] for one in alone)
    assert [one.prompt_tokens for one in together.outputs] == [4, 7, 2, 3]  # an end token each
    assert all(one.text for one in together.outputs)


async def test_requests_at_once_get_what_they_get_alone(start: Start) -> None:
    service = start()
    asked = [
        request(),
        request(decoding=Decoding(num_beams=4)),
        request(decoding=Decoding(temperature=1.0, seed=3)),
        request(decoding=Decoding(num_beams=2, length_penalty=2.0, no_repeat_ngram_size=2)),
    ]
    together = await asyncio.gather(*(service.generate(one) for one in asked))
    alone = [await service.generate(one) for one in asked]
    assert [one.outputs for one in together] == [one.outputs for one in alone]


@pytest.mark.parametrize("decoding", [Decoding(), Decoding(temperature=1.2, seed=5)])
async def test_streamed_pieces_are_the_text(start: Start, decoding: Decoding) -> None:
    service = start()
    chunks = [chunk async for chunk in service.stream(request(decoding=decoding))]
    whole = await service.generate(request(decoding=decoding))
    for index, output in enumerate(whole.outputs):
        own = [chunk for chunk in chunks if chunk.index == index]
        assert "".join(chunk.text for chunk in own) == output.text
        assert own[-1].output == output
        assert len(own) > 1
    assert [chunk.timings is not None for chunk in chunks].count(True) == 1
    assert chunks[-1].timings is not None


async def test_beams_come_in_one_piece(start: Start) -> None:
    service = start()
    chunks = [c async for c in service.stream(request(decoding=Decoding(num_beams=3)))]
    assert len(chunks) == len(TEXTS)
    assert all(chunk.output is not None and chunk.text == chunk.output.text for chunk in chunks)


async def test_attention_is_named_token_by_token(start: Start) -> None:
    service = start()
    asked = request(TEXTS[1], return_attention=True)
    output = (await service.generate(asked)).outputs[0]
    looked = output.attention
    assert looked is not None
    # All but special tokens, and w33 is the end, begin a word.
    assert looked.source_tokens[:6] == (" w30", " w31", " w32", "w33", " w34", " w35")
    assert looked.source_token_ids[:6] == (30, 31, 32, 33, 34, 35)
    assert len(looked.target_token_ids) == len(looked.target_tokens)
    assert looked.weights.shape == (output.completion_tokens, 7)
    assert len(looked.target_tokens) == output.completion_tokens
    np.testing.assert_allclose(looked.weights.sum(1), 1, atol=1e-5)


async def test_a_pairs_own_defaults_and_prefix_are_used(start: Start) -> None:
    service = start()
    french = (await service.generate(request(TEXTS[0], target_language="fr"))).outputs[0]
    german = request("w9 " + TEXTS[0], decoding=Decoding(num_beams=3))
    assert french == (await service.generate(german)).outputs[0]


async def test_a_seed_says_what_is_drawn(start: Start) -> None:
    service = start()
    drawn = [
        (await service.generate(request(decoding=Decoding(temperature=1.5, seed=seed)))).outputs
        for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


async def test_a_long_text_is_refused_or_cut(start: Start) -> None:
    service = start()
    text = " ".join(["w20"] * 60)
    with pytest.raises(ContextOverflow, match="input 1 has 61 tokens; the model takes 40") as told:
        await service.generate(request("w20", text))
    assert (told.value.prompt_tokens, told.value.context_length) == (61, 40)
    cut = (await service.generate(request(text, truncate=True))).outputs[0]
    assert (cut.truncated, cut.prompt_tokens) == (True, 40)
    assert cut.text == (await service.generate(request(" ".join(["w20"] * 39)))).outputs[0].text


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "blank": ({"inputs": (" \n",)}, "input 0 is empty"),
    "language": ({"target_language": "it"}, "from en to it; it has: en-fr, en-de"),
    "source": ({"source_language": "it"}, "from it to de; it has: en-fr, en-de"),
    "no target": ({"target_language": None}, "give the target_language; .*: en-fr, en-de"),
    "task": (
        {"task": "summarize", "source_language": None, "target_language": None},
        "does not summarize; it can: translate",
    ),
    "beams": ({"decoding": Decoding(num_beams=9)}, "num_beams is 9; there are 8 rows"),
    "long": ({"decoding": Decoding(max_tokens=49)}, "writes up to 48"),
}


@pytest.mark.parametrize("case", WRONG)
async def test_what_it_cannot_do_is_said(start: Start, case: str) -> None:
    fields, says = WRONG[case]
    with pytest.raises(InvalidRequest, match=says):
        await start().generate(request("w20").model_copy(update=fields))


async def test_the_only_target_need_not_be_named(start: Start) -> None:
    service = start()
    named = await service.generate(request(TEXTS[0]))
    assert (await service.generate(request(TEXTS[0], source_language=None))).outputs == (
        named.outputs
    )


async def test_too_many_requests_are_refused(start: Start) -> None:
    service = start(max_requests=2)
    running = [asyncio.create_task(service.generate(request())) for _ in range(2)]
    await asyncio.sleep(0.005)
    with pytest.raises(Overloaded) as told:
        await service.generate(request())
    assert told.value.retry_after_s > 0
    await asyncio.gather(*running)
    await service.generate(request())


async def test_a_deadline_ends_it_and_frees_its_rows(start: Start) -> None:
    service = start()
    many = request(*TEXTS * 40, deadline_s=0.02, decoding=Decoding(num_beams=8))
    with pytest.raises(DeadlineExceeded):
        await service.generate(many)
    assert (await service.generate(request())).outputs
    assert service.load().running == service.load().waiting == 0


async def test_a_reader_who_leaves_frees_the_rows(start: Start) -> None:
    service = start(slots=1)
    async with aclosing(service.stream(request(*TEXTS * 20))) as stream:
        await anext(stream)
        assert service.load().running == 1
    async with asyncio.timeout(5):
        await service.generate(request(TEXTS[0]))


async def test_a_short_request_does_not_wait_for_a_long_one(start: Start) -> None:
    service = start(slots=4)
    long = asyncio.create_task(service.generate(request(*TEXTS * 20)))
    await asyncio.sleep(0.01)
    await service.generate(request(TEXTS[0]))
    assert not long.done()
    await long


async def test_stopping_fails_what_is_under_way(start: Start) -> None:
    service = start()
    running = asyncio.create_task(service.generate(request(*TEXTS * 40)))
    await asyncio.sleep(0.02)
    await service.stop()
    with pytest.raises(EngineFailure):
        await running
    with pytest.raises(EngineFailure):
        service.check()


async def test_tokens_are_counted_with_their_end(start: Start) -> None:
    counted = await start().count_tokens(CountTokensRequest(text="w20 w21"))
    assert counted.token_ids[:2] == (20, 21)
    assert counted.count == 3
