"""SmolLM2 under constraints, biases and tools; its logprobs against torch's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from jsonschema import validate
from test_text_real_model import opened, read

from bestiary.errors import InvalidRequest
from bestiary.garden import Garden
from bestiary.profile.applications import ReplicaArgs
from bestiary.schemas.text import (
    ChatMessage,
    Constraint,
    ConstraintKind,
    CountTokensRequest,
    FinishReason,
    Sampling,
    TextChunk,
    TextRequest,
    Tool,
    ToolUse,
)
from deployments.text.opening import OpenModel, start_service
from deployments.text.service import TextService

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}
ADD = Tool(
    name="add",
    description="Adds two numbers",
    parameters={
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
        "additionalProperties": False,
    },
)


@pytest.fixture(scope="module")
def int8(installed_home: Path) -> tuple[OpenModel, ReplicaArgs]:
    return opened(installed_home, "int8")


@pytest.fixture
async def service(int8: tuple[OpenModel, ReplicaArgs]) -> AsyncIterator[TextService]:
    made = start_service(*int8)
    yield made
    await made.close()


def asking(content: str, sampling: dict[str, object], **fields: object) -> TextRequest:
    message = ChatMessage(role="user", content=content)
    made = Sampling.model_validate({"temperature": 0, "max_tokens": 60} | sampling)
    filled = {"request_id": "r", "messages": (message,), "sampling": made}
    return TextRequest.model_validate(filled | fields)


def text_of(chunks: list[TextChunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


def json_schema() -> Constraint:
    return Constraint(kind=ConstraintKind.JSON_SCHEMA, source=json.dumps(SCHEMA))


def regex(source: str) -> Constraint:
    return Constraint(kind=ConstraintKind.REGEX, source=source)


async def test_constrained_and_free_requests_side_by_side_equal_their_solo_runs(
    service: TextService,
) -> None:
    requests = [
        asking("Describe Ann, who is 30, as JSON.", {}, constraint=json_schema()),
        asking("Write about rain.", {"max_tokens": 20}),
        asking("Describe Bob as JSON.", {"temperature": 0.8, "seed": 4}, constraint=json_schema()),
        asking("A date, please.", {"temperature": 1, "seed": 5}, constraint=regex(r"\d{4}-\d\d")),
        asking("Write about bread.", {"max_tokens": 20, "temperature": 1, "seed": 6}),
    ]
    alone = [text_of(await read(service, one)) for one in requests]
    together = await asyncio.gather(*(read(service, one) for one in requests))
    assert [text_of(one) for one in together] == alone
    for place in (0, 2):
        validate(json.loads(alone[place]), SCHEMA)
        assert together[place][-1].finish_reason is FinishReason.STOP


async def test_a_constrained_answer_cut_off_is_too_long(service: TextService) -> None:
    request = asking("Describe Ann as JSON.", {"max_tokens": 3}, constraint=json_schema())
    assert (await read(service, request))[-1].finish_reason is FinishReason.LENGTH


async def test_tokens_within_a_character_are_told_to_the_byte(service: TextService) -> None:
    said = "🐙 é 你"
    request = asking("Say it.", {"logprobs": 1}, constraint=regex(said))
    chunks = await read(service, request)
    entries = [one for chunk in chunks for one in chunk.logprobs]
    assert text_of(chunks) == said
    assert b"".join(one.token.data for one in entries) == said.encode()
    assert sum(one.characters for one in entries) == len(said)
    assert len(entries) > len(said.split())


@pytest.mark.parametrize("only", [None, "add"])
async def test_a_required_call_is_valid_though_the_template_knows_no_tools(
    service: TextService, only: str | None
) -> None:
    use = ToolUse(tools=(ADD,), required=True, only=only, parallel=False)
    chunks = await read(service, asking("What is 3 plus 4?", {}, tool_use=use))
    first, *rest = (piece for chunk in chunks for piece in chunk.tool_calls)
    assert (first.name, text_of(chunks)) == ("add", "")
    validate(json.loads("".join(piece.arguments for piece in rest)), ADD.parameters)
    assert chunks[-1].finish_reason is FinishReason.TOOL_CALLS


async def test_a_conversation_with_calls_goes_on(service: TextService) -> None:
    messages = [
        {"role": "user", "content": "What is 3 plus 4?"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": ({"id": "c", "name": "add", "arguments": '{"a": 3, "b": 4}'},),
        },
        {"role": "tool", "content": "7", "tool_call_id": "c"},
    ]
    request = asking("", {"max_tokens": 8}, messages=messages, tool_use=ToolUse(tools=(ADD,)))
    assert (await read(service, request))[-1].usage is not None


async def test_a_bias_of_a_hundred_is_an_exclusive_choice(service: TextService) -> None:
    request = asking("Hi", {"max_tokens": 4, "logit_bias": {28: 100.0}})
    tokens = [token for chunk in await read(service, request) for token in chunk.token_ids]
    assert tokens == [28] * 4


async def test_a_text_scored_as_a_prompt_is_as_likely_as_it_was_when_written(
    service: TextService,
) -> None:
    ask = asking("", {"max_tokens": 12, "logprobs": 1}, messages=None, text="The sea is")
    chunks = await read(service, ask)
    written = [entry for chunk in chunks for entry in chunk.logprobs]
    ids = [token for chunk in chunks for token in chunk.token_ids]
    counted = await service.count_tokens(CountTokensRequest(text="The sea is"))
    prompt = counted.token_ids
    again = asking(
        "",
        {"max_tokens": 0, "logprobs": 1},
        messages=None,
        token_ids=(*prompt, *ids),
        echo=True,
    )
    scored = [entry for chunk in await read(service, again) for entry in chunk.prompt_logprobs]
    assert scored[0].token.logprob is None
    for before, after in zip(written, scored[len(prompt) :], strict=True):
        assert after.token.token_id == before.token.token_id
        # int8: activations are rounded over all positions of a run together.
        assert after.token.logprob == pytest.approx(before.token.logprob, abs=0.5)


async def test_a_bad_schema_costs_nothing(service: TextService) -> None:
    bad = Constraint(kind=ConstraintKind.JSON_SCHEMA, source='{"type": "objekt"}')
    with pytest.raises(InvalidRequest, match="objekt"):
        await read(service, asking("x", {}, constraint=bad))
    assert service.load().running == 0


@pytest.mark.slow
def test_logprobs_of_every_position_are_torchs(installed_home: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from deployments.text.logprobs import PromptLogprobs

    model, _ = opened(installed_home, "fp32")
    text = "The sea is wide, the sky is blue, and 你好 means hello."
    ids = np.array(model.tokenizer.encode(text, as_prompt=True), np.int64)
    ours = PromptLogprobs(ids, [1] * len(ids), 3, model.tokenizer)
    for start in range(0, len(ids), 5):
        tokens, past = ids[None, start : start + 5], np.array([start], np.int32)
        ours.note(model.decoder.run(0, tokens, past, every=True), start)
    folder = Garden(installed_home).installed("smollm2-135m-instruct").path
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        logprobs = theirs(torch.from_numpy(ids[None])).logits[0].log_softmax(-1)
    for place, one in enumerate(ours.entries()[1:]):
        assert one.token.logprob == pytest.approx(logprobs[place, ids[place + 1]].item(), abs=2e-3)
        best = logprobs[place].topk(3)
        assert [likely.token_id for likely in one.top] == best.indices.tolist()
