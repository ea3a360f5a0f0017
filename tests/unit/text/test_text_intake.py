"""What is refused before it reaches the engine, and what is filled in."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from bestiary.errors import ContextOverflow, InvalidRequest, UnsupportedParameter
from bestiary.schemas.text import (
    ChatMessage,
    Constraint,
    ConstraintKind,
    CountTokensRequest,
    Sampling,
    TextRequest,
    Tool,
    ToolUse,
)
from deployments.text.intake import LONGEST_WAIT_S, Intake
from deployments.text.prompts import ChatTemplate
from deployments.text.tokenizer import TextTokenizer

CONTEXT = 10


def intake(template: str | None = "{% for m in messages %}{{ m.content }} {% endfor %}") -> Intake:
    words = {word: number for number, word in enumerate(["a", "b", "c", "d"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="a"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    text = TextTokenizer(tokenizer, {}, frozenset())
    return Intake(text, ChatTemplate(template, {}) if template else None, CONTEXT, vocabulary=4)


def request(**fields: object) -> TextRequest:
    return TextRequest.model_validate({"request_id": "r"} | fields)


def test_a_text_becomes_ids_and_max_tokens_fill_the_context() -> None:
    prepared = intake().prepare(request(text="b c d"), arrived_s=5.0)
    assert prepared.prompt.tolist() == [1, 2, 3]
    assert prepared.max_tokens == CONTEXT - 3


def test_messages_go_through_the_template() -> None:
    messages = (ChatMessage(role="user", content="b"), ChatMessage(role="user", content="c"))
    assert intake().prepare(request(messages=messages), 0.0).prompt.tolist() == [1, 2]


def test_token_ids_are_taken_as_they_are() -> None:
    assert intake().prepare(request(token_ids=(3, 0)), 0.0).prompt.tolist() == [3, 0]


def test_asked_max_tokens_are_kept() -> None:
    prepared = intake().prepare(request(text="b", sampling=Sampling(max_tokens=9)), 0.0)
    assert prepared.max_tokens == 9


def test_the_longest_prompt_leaves_one_token() -> None:
    prepared = intake().prepare(request(token_ids=(1,) * (CONTEXT - 1)), 0.0)
    assert prepared.max_tokens == 1


def test_a_prompt_that_fills_the_context_overflows() -> None:
    with pytest.raises(ContextOverflow, match=r"10 tokens.*10 tokens") as caught:
        intake().prepare(request(token_ids=(1,) * CONTEXT), 0.0)
    assert (caught.value.prompt_tokens, caught.value.context_length) == (10, 10)
    assert caught.value.param == "token_ids"


def test_max_tokens_over_the_room_overflow() -> None:
    with pytest.raises(ContextOverflow, match=r"2 tokens and max_tokens is 9") as caught:
        intake().prepare(request(text="b c", sampling=Sampling(max_tokens=9)), 0.0)
    assert caught.value.param == "max_tokens"


@pytest.mark.parametrize("fields", [{"text": ""}, {"token_ids": ()}, {"text": "  "}])
def test_an_empty_prompt_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest, match="empty"):
        intake().prepare(request(**fields), 0.0)


@pytest.mark.parametrize("bad", [-1, 4, 10**6, 2**70])
def test_ids_outside_the_vocabulary_are_refused(bad: int) -> None:
    with pytest.raises(InvalidRequest, match="from 0 to 3"):
        intake().prepare(request(token_ids=(1, bad)), 0.0)


def test_messages_without_a_template_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="no chat template"):
        intake(None).prepare(request(messages=(ChatMessage(role="user", content="b"),)), 0.0)


def test_a_request_without_a_seed_gets_one_and_a_given_seed_is_kept() -> None:
    random = {intake().prepare(request(text="b"), 0.0).seed for _ in range(5)}
    assert len(random) == 5
    assert intake().prepare(request(text="b", sampling=Sampling(seed=-3)), 0.0).seed == -3


def test_deadlines_count_from_arrival_and_always_exist() -> None:
    assert intake().prepare(request(text="b", deadline_s=2), 100.0).deadline_s == 102.0
    assert intake().prepare(request(text="b"), 100.0).deadline_s == 100.0 + LONGEST_WAIT_S


def test_echo_repeats_the_text_or_what_the_ids_say() -> None:
    assert intake().prepare(request(text="b  c", echo=True), 0.0).echo == "b  c"
    assert intake().prepare(request(token_ids=(1, 2), echo=True), 0.0).echo == "b c"


def test_an_echo_with_logprobs_wants_the_prompts_logits() -> None:
    sampling = Sampling(logprobs=1)
    both = intake().prepare(request(text="b c", echo=True, sampling=sampling), 0.0)
    assert both.prompt_logprobs is not None
    assert intake().prepare(request(text="b", echo=True), 0.0).prompt_logprobs is None
    assert intake().prepare(request(text="b", sampling=sampling), 0.0).prompt_logprobs is None


def test_a_prompt_that_fills_the_context_may_be_scored() -> None:
    nothing = Sampling(max_tokens=0, logprobs=1)
    full = request(token_ids=(1,) * CONTEXT, echo=True, sampling=nothing)
    assert intake().prepare(full, 0.0).max_tokens == 0
    over = request(token_ids=(1,) * (CONTEXT + 1), echo=True, sampling=nothing)
    with pytest.raises(ContextOverflow):
        intake().prepare(over, 0.0)


def test_a_bias_outside_the_vocabulary_is_refused() -> None:
    intake().prepare(request(text="b", sampling=Sampling(logit_bias={3: 1.0})), 0.0)
    with pytest.raises(InvalidRequest, match="from 0 to 3") as caught:
        intake().prepare(request(text="b", sampling=Sampling(logit_bias={4: 1.0})), 0.0)
    assert caught.value.param == "logit_bias"


def test_what_cannot_be_enforced_is_refused() -> None:
    constraint = Constraint(kind=ConstraintKind.REGEX, source="a")
    with pytest.raises(UnsupportedParameter) as caught:
        intake().prepare(request(text="b", constraint=constraint), 0.0)
    assert caught.value.param == "response_format"


def test_tools_reach_the_template_and_the_reader() -> None:
    template = "{% for tool in tools %}{{ tool.function.name }} {% endfor %}"
    message = ChatMessage(role="user", content="c")
    tools = ToolUse(tools=(Tool(name="b"), Tool(name="d")))
    made = intake(template).prepare(request(messages=(message,), tool_use=tools), 0.0)
    assert made.prompt.tolist() == [1, 3]
    assert made.tools is not None
    assert made.tools.names == {"b", "d"}


def test_counting_gives_the_ids_of_the_prompt_whatever_its_length() -> None:
    assert intake().count(CountTokensRequest(text="b " * 50)) == (1,) * 50
    messages = (ChatMessage(role="user", content="c"),)
    assert intake().count(CountTokensRequest(messages=messages)) == (2,)


def test_tools_are_counted_as_the_prompt_has_them() -> None:
    template = "{% for tool in tools %}{{ tool.function.name }} {% endfor %}c"
    messages = (ChatMessage(role="user", content="c"),)
    tools = ToolUse(tools=(Tool(name="b"), Tool(name="d")))
    counted = intake(template).count(CountTokensRequest(messages=messages, tool_use=tools))
    prepared = intake(template).prepare(request(messages=messages, tool_use=tools), 0.0)
    assert list(counted) == prepared.prompt.tolist() == [1, 3, 2]


def test_tools_without_messages_are_not_counted() -> None:
    tools = ToolUse(tools=(Tool(name="b"),))
    with pytest.raises(InvalidRequest, match="tools need messages"):
        intake().count(CountTokensRequest(text="b", tool_use=tools))


def test_counting_nothing_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        intake().count(CountTokensRequest())
