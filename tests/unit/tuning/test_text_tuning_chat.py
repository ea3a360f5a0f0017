"""The trainer writes prompts as serving does, and knows where an answer begins and ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from bestiary.errors import InvalidRequest
from bestiary.schemas.text import ChatMessage, ToolCall
from deployments.text.prompts import ChatTemplate
from deployments.text.tokenizer import TextTokenizer
from services.tuning.data.examples import Completion, PlainText, Preference
from services.tuning.trainers.text.chat import TokenWriter
from services.tuning.trainers.text.sequences import TokenSequence, pairs_of, sequences_of
from tests.unit.tuning.small_text_models import conversation, installed

HELLO = ChatMessage(role="user", content="Hello <b>& you</b> 你好\n")
REWRITING = (  # tells only the last answer's thoughts, as templates of reasoning models do
    "{% for m in messages %}{{ m.role }}:"
    "{{ m.content if loop.last else m.content | replace('hm ', '') }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
TEMPLATES = {
    "roles": None,
    "blocks": """
{%- for message in messages %}
    {%- if loop.index > 4 %}{% break %}{% endif %}
    {{ eos_token + message.role }}: {{ message.content | trim }}
{% endfor %}
{% if add_generation_prompt %}assistant:{% endif %}""",
    "tojson": "{{ messages | tojson }} {{ messages[0] | tojson(indent=2) }}",
}
CONVERSATIONS = {
    "user": (HELLO,),
    "system": (ChatMessage(role="system", content="Be brief."), HELLO),
    "turns": (HELLO, ChatMessage(role="assistant", content="Hi."), HELLO),
    "named": (ChatMessage(role="user", content="x", name="Ann"),),
}


@pytest.fixture
def writer(tmp_path: Path) -> TokenWriter:
    return TokenWriter(installed(tmp_path))


def learned_text(writer: TokenWriter, one: TokenSequence) -> str:
    """What is learned, the end tokens left out."""
    return writer.decode([token for token, yes in zip(one.ids, one.learned, strict=True) if yes])


def learned_ends(writer: TokenWriter, one: TokenSequence) -> int:
    pairs = zip(one.ids, one.learned, strict=True)
    return sum(learned and token in writer.end_ids for token, learned in pairs)


@pytest.mark.parametrize("messages", CONVERSATIONS.values(), ids=CONVERSATIONS)
@pytest.mark.parametrize("source", TEMPLATES.values(), ids=TEMPLATES)
def test_prompts_have_the_ids_that_serving_gives(
    tmp_path: Path, source: str | None, messages: tuple[ChatMessage, ...]
) -> None:
    model = installed(tmp_path) if source is None else installed(tmp_path, template=source)
    theirs = TextTokenizer.from_folder(model.path)
    assert model.chat_template is not None
    text = ChatTemplate(model.chat_template, theirs.special_tokens).render(messages)
    ours = TokenWriter(model)
    assert ours.rendered(messages, answer_next=True) == text
    assert ours.prompt(messages) == theirs.encode(text, as_prompt=False)
    assert ours.end_ids == theirs.end_ids


def test_every_answer_of_a_conversation_is_learned_with_its_end(writer: TokenWriter) -> None:
    (one,) = sequences_of([conversation("a", "first", "b", "last")], writer, 64).found
    assert learned_text(writer, one) == "firstlast"
    assert learned_ends(writer, one) == 2
    assert one.ids[-1] in writer.end_ids  # the template's newline after it is never generated
    assert writer.decode(one.ids[one.answer_at :]) == "last"


def test_answers_before_a_cut_have_sequences_of_their_own(writer: TokenWriter) -> None:
    found = sequences_of([conversation("a" * 20, "first", "b" * 20, "last")], writer, 32).found
    assert [learned_text(writer, one) for one in found] == ["first", "last"]
    assert all(len(one) <= 32 for one in found)


def test_a_template_that_rewrites_earlier_turns_gives_a_sequence_for_each(tmp_path: Path) -> None:
    writer = TokenWriter(installed(tmp_path, template=REWRITING))
    found = sequences_of([conversation("a", "hm yes", "b", "hm no")], writer, 128).found
    assert [learned_text(writer, one) for one in found] == ["hm yes", "hm no"]
    assert "hm yes" not in writer.decode(found[1].ids)


def test_only_chosen_messages_are_learned(writer: TokenWriter) -> None:
    both = conversation("a", "first", "b", "last")
    (one,) = sequences_of([type(both)(both.messages, (3,))], writer, 64).found
    assert learned_text(writer, one) == "last"


def test_a_completion_is_raw_text_and_an_end(writer: TokenWriter) -> None:
    (one,) = sequences_of([Completion("1 + 1 =", " 2")], writer, 64).found
    assert list(one.ids) == [*writer.encode("1 + 1 = 2", as_prompt=True), writer.end_id]
    assert learned_text(writer, one) == " 2"
    assert learned_ends(writer, one) == 1


def test_without_a_prompt_the_first_token_is_not_learned(writer: TokenWriter) -> None:
    (one,) = sequences_of([Completion("", "yes")], writer, 64).found
    assert writer.decode(one.ids) == "yes"
    assert learned_text(writer, one) == "es"


def test_long_prompts_are_cut_on_the_left(writer: TokenWriter) -> None:
    (one,) = sequences_of([Completion("x" * 100 + "end:", "yes")], writer, 16).found
    assert len(one) == 16
    assert writer.decode(one.ids).endswith("xend:yes")


def test_answers_that_are_too_long_are_counted(writer: TokenWriter) -> None:
    fitted = sequences_of([Completion("x", "y" * 100), Completion("x", "y")], writer, 16)
    assert (len(fitted.found), fitted.dropped) == (1, 1)


def test_a_text_is_learned_in_pieces_without_a_loss(writer: TokenWriter) -> None:
    found = sequences_of([PlainText("abcdefghij" * 4)], writer, 16).found
    assert [len(one) for one in found] == [16, 16, 9]
    assert writer.decode([token for one in found for token in one.ids]) == "abcdefghij" * 4
    assert all(one.learned_tokens == len(one) - 1 for one in found)


def test_two_answers_follow_the_same_prompt(writer: TokenWriter) -> None:
    prompt = (ChatMessage(role="user", content="x" * 40),)
    (pair,) = pairs_of([Preference(prompt, "good", "very bad")], writer, 24).found
    start = pair.chosen.answer_at
    assert pair.chosen.ids[:start] == pair.rejected.ids[:start]
    assert learned_text(writer, pair.chosen) == "good"
    assert learned_text(writer, pair.rejected) == "very bad"
    assert len(pair.rejected) == 24


def test_a_base_model_takes_no_conversations(tmp_path: Path) -> None:
    writer = TokenWriter(installed(tmp_path, template=None))
    with pytest.raises(InvalidRequest, match="no chat template"):
        sequences_of([conversation("a", "b")], writer, 64)


def test_tool_calls_need_a_template_that_knows_tools(writer: TokenWriter) -> None:
    call = ToolCall(id="1", name="f", arguments="{}")
    with pytest.raises(InvalidRequest, match="knows no tools"):
        writer.prompt([HELLO, ChatMessage(role="assistant", content="", tool_calls=(call,))])


def test_another_format_is_refused_by_name(writer: TokenWriter) -> None:
    with pytest.raises(InvalidRequest, match="learns from preferences, not from Completion"):
        pairs_of([Completion("a", "b")], writer, 64)
