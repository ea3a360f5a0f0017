"""Tool calls as models write them, however the text is cut into pieces."""

from __future__ import annotations

import json

import pytest

from bestiary.errors import CardInvalid
from bestiary.schemas.text import FinishReason, TextChunk, TextUsage, ToolCallPiece
from deployments.text.tools.formats import FORMATS, format_named, format_of
from deployments.text.tools.hermes import HERMES
from deployments.text.tools.llama3_json import LLAMA3_JSON
from deployments.text.tools.plain_json import PLAIN_JSON
from deployments.text.tools.reader import ToolReading
from deployments.text.tools.tool_format import ToolFormat

NAMES = frozenset({"look", "wait"})
Answer = tuple[str, list[tuple[str, str]]]  # its text, and its calls' names and arguments


def read(format: ToolFormat, text: str, size: int) -> Answer:
    """In pieces of `size` characters."""
    reader = format.reader(NAMES)
    reads = [reader.push(text[at : at + size]) for at in range(0, len(text), size)]
    reads.append(reader.finish())
    calls: list[tuple[str, str]] = []
    for piece in (piece for one in reads for piece in one.calls):
        if piece.name is not None:
            assert piece.index == len(calls)
            assert piece.arguments == ""
            calls.append((piece.name, ""))
        name, arguments = calls[piece.index]
        calls[piece.index] = name, arguments + piece.arguments
    return "".join(one.text for one in reads), calls


LOOK = '{"name": "look", "arguments": {"where": "a \\"sea\\" {}"}}'
LOOK_CALL = ("look", '{"where": "a \\"sea\\" {}"}')

ANSWERS: dict[str, tuple[ToolFormat, str, Answer]] = {
    "text": (HERMES, "A sea. ", ("A sea. ", [])),
    "nothing": (HERMES, "", ("", [])),
    "a call": (HERMES, f"<tool_call>\n{LOOK}\n</tool_call>", ("", [LOOK_CALL])),
    "text, then a call": (
        HERMES,
        f"Let me see.\n\n<tool_call>\n{LOOK}\n</tool_call>\n",
        ("Let me see.", [LOOK_CALL]),
    ),
    "text between calls and after them": (
        HERMES,
        f"a\n<tool_call>{LOOK}</tool_call>b <tool_call>{LOOK}</tool_call> c",
        ("ab c", [LOOK_CALL, LOOK_CALL]),
    ),
    "two calls": (
        HERMES,
        f'<tool_call>\n{LOOK}\n</tool_call>\n<tool_call>\n{{"name": "wait"}}\n</tool_call>',
        ("", [LOOK_CALL, ("wait", "{}")]),
    ),
    "a list within the tags": (
        HERMES,
        f'<tool_call>[{LOOK}, {{"name": "wait", "arguments": {{}}}}]</tool_call>',
        ("", [LOOK_CALL, ("wait", "{}")]),
    ),
    "arguments first": (
        HERMES,
        '<tool_call>{"arguments": {"a": [1, {"b": 2}]}, "name": "look"}</tool_call>',
        ("", [("look", '{"a": [1, {"b": 2}]}')]),
    ),
    "arguments in a string": (
        HERMES,
        '<tool_call>{"name": "look", "arguments": "{\\"a\\": 1}"}</tool_call>',
        ("", [("look", '{"a": 1}')]),
    ),
    "no arguments": (
        HERMES,
        '<tool_call>{"name": "wait", "arguments": null}</tool_call>',
        ("", [("wait", "{}")]),
    ),
    "other keys": (
        HERMES,
        '<tool_call>{"type": "function", "id": 3, "deep": {"name": "no"}, "name": "wait", '
        '"arguments": {}}</tool_call>',
        ("", [("wait", "{}")]),
    ),
    "a list of arguments": (
        HERMES,
        '<tool_call>{"name": "wait", "arguments": [1, "]"]}</tool_call>',
        ("", [("wait", '[1, "]"]')]),
    ),
    "arguments that are very deep": (
        HERMES,
        '<tool_call>{"name": "wait", "arguments": {"a": ' + "[" * 3000 + "]" * 3000 + "}}",
        ("", [("wait", '{"a": ' + "[" * 3000 + "]" * 3000 + "}")]),
    ),
    "white space everywhere": (
        HERMES,
        '<tool_call>\n {\n "name" : "wait" ,\n "arguments" : { } \n}\n </tool_call>',
        ("", [("wait", "{ }")]),
    ),
    "an unknown tool is text": (
        HERMES,
        'So: <tool_call>{"name": "fly", "arguments": {}}</tool_call>',
        ('So: <tool_call>{"name": "fly", "arguments": {}}</tool_call>', []),
    ),
    "tags around something else are text": (
        HERMES,
        "a <tool_call>\nwhat?</tool_call> b",
        ("a <tool_call>\nwhat?</tool_call> b", []),
    ),
    "an object that names no tool is text": (
        HERMES,
        '<tool_call>{"arguments": {}}</tool_call>',
        ('<tool_call>{"arguments": {}}</tool_call>', []),
    ),
    "what looks like a tag is text": (HERMES, "1 <tool 2 <", ("1 <tool 2 <", [])),
    "an end before the tool is named": (
        HERMES,
        'x <tool_call>\n{"na',
        ('x <tool_call>\n{"na', []),
    ),
    "an end within the arguments": (
        HERMES,
        '<tool_call>{"name": "look", "arguments": {"where": "a s',
        ("", [("look", '{"where": "a s')]),
    ),
    "an end without the closing tag": (HERMES, f"<tool_call>\n{LOOK}\n", ("", [LOOK_CALL])),
    "a call that breaks off": (
        HERMES,
        '<tool_call>{"name": "look" oh no</tool_call> and on',
        (" and on", [("look", "")]),
    ),
    "llama's call": (
        LLAMA3_JSON,
        '{"name": "look", "parameters": {"where": "sea"}}',
        ("", [("look", '{"where": "sea"}')]),
    ),
    "llama's calls": (
        LLAMA3_JSON,
        '<|python_tag|>{"name": "look", "parameters": {}}; {"name": "wait", "parameters": {}}',
        ("", [("look", "{}"), ("wait", "{}")]),
    ),
    "llama's text": (LLAMA3_JSON, " I see {a} sea", (" I see {a} sea", [])),
    "llama's json that calls nothing": (
        LLAMA3_JSON,
        '{"name": "Ann", "parameters": 3}',
        ('{"name": "Ann", "parameters": 3}', []),
    ),
    "llama's unfinished prefix": (LLAMA3_JSON, "<|pyth", ("<|pyth", [])),
    "a plain call": (PLAIN_JSON, f" {LOOK}\n", ("", [LOOK_CALL])),
    "a plain list": (
        PLAIN_JSON,
        f'[{LOOK}, {{"name": "wait", "arguments": {{}}}}]',
        ("", [LOOK_CALL, ("wait", "{}")]),
    ),
    "a plain list of numbers": (PLAIN_JSON, "[1, 2]", ("[1, 2]", [])),
    "plain text after a call": (PLAIN_JSON, f"{LOOK} Done.", ("Done.", [LOOK_CALL])),
    "plain white space": (PLAIN_JSON, " \n", (" \n", [])),
}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("name", ANSWERS)
def test_calls_are_read_however_the_text_is_cut(name: str, size: int) -> None:
    format, text, expected = ANSWERS[name]
    assert read(format, text, size) == expected


@pytest.mark.parametrize("format", FORMATS.values(), ids=FORMATS)
def test_arguments_are_given_out_as_they_come(format: ToolFormat) -> None:
    syntax = format.syntax
    reader = format.reader(NAMES)
    reader.push(f'{syntax.opening_marker}{{"name": "look", "{syntax.arguments_key}": {{"a": ')
    assert reader.push("12").calls == (ToolCallPiece(0, None, "12"),)


def test_text_is_not_held_back_for_long() -> None:
    reader = HERMES.reader(NAMES)
    assert [reader.push(one).text for one in ("I see", " a", " sea <")] == ["I see", " a", " sea"]


def chunks_of(*texts: str, reason: FinishReason = FinishReason.STOP) -> list[TextChunk]:
    made = [TextChunk(0, text, token_ids=(n,)) for n, text in enumerate(texts[:-1])]
    return [*made, TextChunk(0, texts[-1], (9,), reason, TextUsage(1, len(texts)))]


def reading(parallel: bool = True) -> ToolReading:
    return ToolReading(HERMES, NAMES, parallel)


def test_an_answer_that_calls_ends_with_tool_calls() -> None:
    chunks = reading().begin().read(chunks_of("<tool_call>", LOOK, "</tool_call>"))
    assert [chunk.token_ids for chunk in chunks] == [(0,), (1,), (9,)]
    assert chunks[-1].finish_reason is FinishReason.TOOL_CALLS
    assert chunks[-1].usage == TextUsage(1, 3)
    assert "".join(chunk.text for chunk in chunks) == ""


def test_a_call_that_was_cut_off_ends_with_length() -> None:
    chunks = (
        reading()
        .begin()
        .read(
            chunks_of('<tool_call>{"name": "look", ', '"arguments": {', reason=FinishReason.LENGTH)
        )
    )
    assert chunks[-1].finish_reason is FinishReason.LENGTH
    assert any(chunk.tool_calls for chunk in chunks)


def test_an_answer_that_calls_nothing_stays_as_it_was() -> None:
    chunks = reading().begin().read(chunks_of("a", " b <"))
    assert "".join(chunk.text for chunk in chunks) == "a b <"
    assert chunks[-1].finish_reason is FinishReason.STOP


def test_candidates_are_read_apart() -> None:
    reader = reading().begin()
    call = TextChunk(0, f"<tool_call>{LOOK}</tool_call>", (), FinishReason.STOP)
    text = TextChunk(1, "<tool", (), FinishReason.STOP)
    first, second = reader.read([call, text])
    assert (first.finish_reason, second.finish_reason) == ("tool_calls", "stop")
    assert second.text == "<tool"


def test_where_one_call_is_all_that_is_wanted_later_ones_are_dropped() -> None:
    text = f"<tool_call>{LOOK}</tool_call>" * 2
    [chunk] = reading(parallel=False).begin().read(chunks_of(text))
    assert {piece.index for piece in chunk.tool_calls} == {0}


def test_the_pieces_of_one_call_are_valid_json_together() -> None:
    _, [(_, arguments)] = read(HERMES, f"<tool_call>{LOOK}</tool_call>", 1)
    assert json.loads(arguments) == {"where": 'a "sea" {}'}


@pytest.mark.parametrize(
    ("template", "name"),
    [
        (None, "hermes"),
        ("{{ messages }}", "hermes"),
        ("{% if tools %}<tool_call>{% endif %}", "hermes"),
        ("{% if tools %}<|python_tag|>{% endif %}", "llama3_json"),
        ("""{{ tools }} '"parameters": ' """, "llama3_json"),
        ("[AVAILABLE_TOOLS] {{ tools }}", "plain_json"),
    ],
)
def test_a_template_tells_how_its_model_calls(template: str | None, name: str) -> None:
    assert format_of(template).name == name


def test_an_unknown_format_names_the_known_ones() -> None:
    assert format_named("hermes") is HERMES
    with pytest.raises(CardInvalid, match="hermes, llama3_json, plain_json"):
        format_named("xml")
