"""Chat templates render as transformers renders them, and cannot reach out of the sandbox."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bestiary.errors import CardInvalid, InvalidRequest
from bestiary.garden import Garden
from bestiary.schemas.text import ChatMessage, Tool, ToolCall
from deployments.text.prompts import ChatTemplate
from deployments.text.tokenizer import TextTokenizer

USER = ChatMessage(role="user", content="Hello <b>& you</b> 你好\n")
CONVERSATIONS = {
    "user": (USER,),
    "system": (ChatMessage(role="system", content="Be brief."), USER),
    "turns": (USER, ChatMessage(role="assistant", content="Hi."), USER),
    "named": (ChatMessage(role="user", content="x", name="Ann"),),
    "empty content": (ChatMessage(role="user", content=""),),
}
TEMPLATES = {
    "blocks": """
{%- for message in messages %}
    {%- if loop.index > 2 %}{% break %}{% endif %}
    {{ bos_token + message.role }}: {{ message.content | trim }}
{% endfor %}
{% if add_generation_prompt %}assistant:{% endif %}""",
    "tojson": "{{ messages | tojson }} {{ messages[0] | tojson(indent=2) }}",
    "generation": "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}",  # noqa: E501
    "namespace": """{% set seen = namespace(count=0) %}
{% for m in messages %}{% set seen.count = seen.count + 1 %}{% endfor %}
{{ seen.count }} {{ tools is none }} {{ messages[0].name is defined }}""",
}


def render(
    source: str, messages: tuple[ChatMessage, ...] = (USER,), tools: tuple[Tool, ...] = ()
) -> str:
    return ChatTemplate(source, {"bos_token": "<s>"}).render(messages, tools)


def by_transformers(source: str, messages: tuple[ChatMessage, ...], **special: str) -> str:
    conversation = [message.model_dump(exclude_none=True) for message in messages]
    return rendered_by_transformers(source, conversation, **special)


def rendered_by_transformers(source: str, conversation: list[object], **more: object) -> str:
    from transformers.utils.chat_template_utils import render_jinja_template

    rendered, _ = render_jinja_template(
        [conversation], chat_template=source, add_generation_prompt=True, **more
    )
    return str(rendered[0])


@pytest.mark.parametrize("conversation", CONVERSATIONS.values(), ids=CONVERSATIONS)
@pytest.mark.parametrize("source", TEMPLATES.values(), ids=TEMPLATES)
def test_renders_as_transformers_does(source: str, conversation: tuple[ChatMessage, ...]) -> None:
    assert render(source, conversation) == by_transformers(source, conversation, bos_token="<s>")


@pytest.mark.parametrize("conversation", CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_smollm2_prompts_have_the_ids_that_transformers_gives(
    installed_home: Path, conversation: tuple[ChatMessage, ...]
) -> None:
    from transformers import AutoTokenizer

    model = Garden(installed_home).installed("smollm2-135m-instruct")
    ours = TextTokenizer.from_folder(model.path)
    assert model.chat_template is not None
    text = ChatTemplate(model.chat_template, ours.special_tokens).render(conversation)
    theirs = AutoTokenizer.from_pretrained(model.path).apply_chat_template(
        [message.model_dump(exclude_none=True) for message in conversation],
        add_generation_prompt=True,
    )
    assert ours.encode(text, as_prompt=False) == theirs["input_ids"]


def test_a_template_that_refuses_is_the_callers_fault() -> None:
    with pytest.raises(InvalidRequest, match="roles must alternate") as caught:
        render("{{ raise_exception('roles must alternate') }}")
    assert caught.value.param == "messages"


def test_a_template_that_breaks_over_the_messages_is_no_crash() -> None:
    with pytest.raises(InvalidRequest, match="chat template"):
        render("{{ messages[0].content + 1 }}")


def test_no_messages_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="empty"):
        render("{{ messages }}", ())


def test_a_template_that_is_not_jinja_is_the_cards_fault() -> None:
    with pytest.raises(CardInvalid):
        render("{% for %}")


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ raise_exception.__globals__.keys() }}",
    ],
)
def test_the_sandbox_holds(source: str) -> None:
    with pytest.raises(InvalidRequest):
        render(source)


def test_a_template_can_write_the_date() -> None:
    assert len(render("{{ strftime_now('%Y-%m-%d') }}")) == 10


def test_tojson_keeps_what_html_would_escape() -> None:
    assert json.loads(render("{{ messages[0].content | tojson }}")) == USER.content
    assert "<b>&" in render("{{ messages[0].content | tojson }}")


LOOK = Tool(
    name="look",
    description="Looks around",
    parameters={"type": "object", "properties": {"at": {"type": "string"}}},
    strict=True,
)
CALLED = (
    USER,
    ChatMessage(
        role="assistant",
        content="",
        tool_calls=(
            ToolCall(id="c1", name="look", arguments='{"at": "sea"}'),
            ToolCall(id="c2", name="look", arguments="not JSON"),
        ),
    ),
    ChatMessage(role="tool", content="a ship", tool_call_id="c1"),
    ChatMessage(role="tool", content="a cloud", tool_call_id="c2"),
)
KNOWS_TOOLS = """
{%- if tools %}<tools>{% for tool in tools %}{{ tool | tojson }}{% endfor %}</tools>{% endif %}
{%- for m in messages %}
[{{ m.role }}{{ " " + m.name if m.name is defined }}] {{ m.content }}
{%- for call in m.tool_calls or () %}
<tool_call>{{ call.function.name }} {{ call.function.arguments | tojson }}</tool_call>
{%- endfor %}{% endfor %}"""


def test_tools_and_calls_render_as_transformers_renders_openais_records() -> None:
    def call(number: str, arguments: object) -> dict[str, object]:
        function = {"name": "look", "arguments": arguments}
        return {"id": number, "type": "function", "function": function}

    conversation = [
        {"role": "user", "content": USER.content},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [call("c1", {"at": "sea"}), call("c2", "not JSON")],
        },
        {"role": "tool", "content": "a ship", "tool_call_id": "c1", "name": "look"},
        {"role": "tool", "content": "a cloud", "tool_call_id": "c2", "name": "look"},
    ]
    record = {
        "type": "function",
        "function": {
            "name": "look",
            "description": "Looks around",
            "parameters": LOOK.parameters,
        },
    }
    theirs = rendered_by_transformers(KNOWS_TOOLS, conversation, tools=[record])
    assert render(KNOWS_TOOLS, CALLED, (LOOK,)) == theirs


def test_a_template_knows_tools_where_it_reads_them() -> None:
    assert ChatTemplate(KNOWS_TOOLS, {}).knows_tools
    assert not ChatTemplate("{% set tools = 1 %}{{ messages }}{{ tools }}", {}).knows_tools


PLAIN = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}"


def test_a_template_without_tools_is_told_of_them_in_words() -> None:
    told = render(PLAIN, (USER,), (LOOK,))
    assert told.startswith("[system] # Tools")
    assert '{"type": "function", "function": {"name": "look", "description": "Looks' in told
    assert '<tool_call>\n{"name": "function name", "arguments"' in told
    assert told.endswith(f"[user] {USER.content}\n")


def test_instructions_come_after_the_callers_own() -> None:
    system = ChatMessage(role="system", content="Be brief.")
    told = render(PLAIN, (system, USER), (LOOK,))
    assert told.startswith("[system] Be brief.\n\n# Tools")
    assert told.count("[system]") == 1


def test_calls_and_results_become_words_where_the_template_knows_no_tools() -> None:
    *_, called, answered = render(PLAIN, CALLED).split("\n[")
    assert called == (
        'assistant] <tool_call>\n{"name": "look", "arguments": {"at": "sea"}}\n</tool_call>\n'
        '<tool_call>\n{"name": "look", "arguments": not JSON}\n</tool_call>'
    )
    assert answered == (
        "user] <tool_response>\na ship\n</tool_response>\n"
        "<tool_response>\na cloud\n</tool_response>\n"
    )


def test_without_tools_nothing_is_said_of_them() -> None:
    assert render(PLAIN, (USER,)) == f"[user] {USER.content}\n"
