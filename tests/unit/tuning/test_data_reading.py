"""Every format and kind of file becomes examples, or a typed reason with its line."""

from __future__ import annotations

import json

import pytest

from bestiary.errors import BadTrainingData
from bestiary.schemas.text import ChatMessage
from bestiary.schemas.tuning import DataFormat
from services.tuning.data.examples import (
    Completion,
    Conversation,
    LabelledText,
    PlainText,
    Preference,
    TaggedTokens,
    TextPair,
    Translation,
)
from services.tuning.data.limits import DataLimits
from services.tuning.data.reading import read_examples

USER = {"role": "user", "content": "2 + 2?"}
ANSWER = {"role": "assistant", "content": "4"}
ASKED = ChatMessage(role="user", content="2 + 2?")


@pytest.fixture
def read(tmp_path):
    def read(content, name="data.jsonl", **options):
        path = tmp_path / "blob"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return list(read_examples(path, name, **options))

    return read


def line(**values):
    return json.dumps(values)


@pytest.mark.parametrize(
    ("values", "example"),
    [
        (
            {"messages": [USER, ANSWER]},
            Conversation((ASKED, ChatMessage(role="assistant", content="4")), (1,)),
        ),
        ({"prompt": "a", "completion": "b"}, Completion("a", "b")),
        ({"prompt": "2 + 2?", "chosen": "4", "rejected": "5"}, Preference((ASKED,), "4", "5")),
        (
            {"prompt": [USER], "chosen": [ANSWER], "rejected": "5"},
            Preference((ASKED,), "4", "5"),
        ),
        (
            {
                "input": {"messages": [USER]},
                "preferred_output": [ANSWER],
                "non_preferred_output": [{"role": "assistant", "content": "5"}],
            },
            Preference((ASKED,), "4", "5"),
        ),
        ({"text": "once"}, PlainText("once")),
        ({"text": "buy!", "label": 1}, LabelledText("buy!", "1")),
        ({"text": "a", "label": "x", "text_pair": "b"}, LabelledText("a", "x", "b")),
        (
            {"tokens": ["Ann", "sang"], "tags": ["B-P", "O"]},
            TaggedTokens(("Ann", "sang"), ("B-P", "O")),
        ),
        ({"anchor": "a", "positive": "b", "negative": None}, TextPair("a", "b")),
        (
            {"source": "yes", "target": "ja", "source_language": "en", "target_language": "de"},
            Translation("yes", "ja", "en", "de"),
        ),
    ],
)
def test_a_line_of_each_format(read, values, example):
    assert read(line(**values)) == [example]


def test_weights_choose_what_is_trained(read):
    messages = [USER, {**ANSWER, "weight": 0}, USER, {**ANSWER, "weight": 1}]
    (example,) = read(line(messages=messages))
    assert example.trained == (3,)


def test_parts_of_text_are_one_content_and_developer_is_system(read):
    parts = [{"type": "text", "text": "2 +"}, {"type": "text", "text": " 2?"}]
    developer = {"role": "developer", "content": "Count."}
    (example,) = read(line(messages=[developer, {"role": "user", "content": parts}, ANSWER]))
    assert example.messages[0].role == "system"
    assert example.messages[1] == ASKED


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"messages": []}, "`messages` is empty"),
        ({"messages": "hi"}, "must be a list of messages, not a text"),
        ({"messages": [ANSWER, USER]}, "the last one must be the assistant's"),
        ({"messages": [USER, {**ANSWER, "weight": 0}]}, "every `weight` is 0"),
        ({"messages": [USER, {**ANSWER, "weight": 0.5}]}, r"`messages\[1\].weight` must be 0 or 1"),
        ({"messages": [{**USER, "weight": 1}, ANSWER]}, "only an assistant's message"),
        ({"messages": [USER, {"role": "assistant", "content": " "}]}, "nothing to learn"),
        ({"messages": [USER, {"role": "assistant", "content": None}]}, "not null"),
        ({"messages": [{"role": "bot", "content": "x"}, ANSWER]}, "role` must be one of system"),
        ({"messages": [{"role": "tool", "content": "x"}, ANSWER]}, "tools cannot be trained"),
        ({"messages": [USER, {**ANSWER, "tool_calls": [{}]}]}, "tool calls cannot be trained"),
        ({"messages": [USER, ANSWER], "tools": [{}]}, "`tools`: tools cannot be trained"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}, ANSWER]},
            "must be a part of the type text",
        ),
        ({"prompt": "a", "completion": ""}, "`completion` is empty"),
        ({"prompt": 3, "completion": "b"}, "`prompt` must be a text, not a number"),
        ({"prompt": "a", "chosen": "b", "rejected": "b"}, "there is no preference"),
        ({"prompt": [USER, ANSWER], "chosen": "b", "rejected": "c"}, "must not be the assistant's"),
        ({"text": "a", "label": None}, "`label` must be a text or a whole number, not null"),
        ({"tokens": ["a", "b"], "tags": ["O"]}, "2 `tokens` and 1 `tags`"),
        ({"tokens": [], "tags": []}, "`tokens` is empty"),
        ({"tokens": ["a", 1], "tags": ["O", "O"]}, r"`tokens\[1\]` must be a text"),
        ({"source": "a", "target": "b", "source_language": "English"}, "ISO 639-1"),
        ({"question": "a", "answer": "b"}, "the keys are 'question', 'answer'; a line must be"),
        ({"file_name": "a.png", "caption": "a", "data": "x"}, "come as a zip file"),
    ],
)
def test_a_bad_line_says_what_to_mend(read, values, reason):
    with pytest.raises(BadTrainingData, match=reason) as error:
        read(line(**values))
    assert error.value.line == 1


def test_the_error_has_the_line_of_the_file(read):
    with pytest.raises(BadTrainingData, match="line 4: not valid JSON") as error:
        read('{"text": "a"}\n\n{"text": "b"}\n{"text": \n{"text": "c"}')
    assert error.value.line == 4


def test_examples_before_a_bad_line_are_read(tmp_path):
    path = tmp_path / "blob"
    path.write_text('{"text": "a"}\nnonsense\n')
    examples = read_examples(path, "data.jsonl")
    assert next(examples) == PlainText("a")
    with pytest.raises(BadTrainingData, match="line 2"):
        next(examples)


def test_an_array_is_told_to_be_lines(read):
    with pytest.raises(BadTrainingData, match=r"one object a line \(JSONL\)"):
        read('[{"text": "a"}]', "data.json")


def test_windows_files_are_read(read):
    assert read(b'\xef\xbb\xbf{"text": "a"}\r\n{"text": "b"}\r\n') == [
        PlainText("a"),
        PlainText("b"),
    ]


def test_other_encodings_are_refused_with_the_place(read):
    with pytest.raises(BadTrainingData, match=r"line 2: byte 12 .* is not UTF-8"):
        read(b'{"text": "a"}\n{"text": "h\xe9"}\n')


def test_a_given_format_is_held_to(read):
    with pytest.raises(BadTrainingData, match="`label` is missing"):
        read(line(text="a"), format=DataFormat.LABELLED_TEXT)


def test_paragraphs_of_plain_text(read):
    text = "One,\ntwo.\n\n\nThree.\n"
    assert read(text, "book.txt") == [PlainText("One,\ntwo."), PlainText("Three.")]


def test_a_paragraph_without_end_is_refused_at_its_first_line(read):
    with pytest.raises(BadTrainingData, match="put blank lines") as error:
        read("a\n\nb\n" + "cc\n" * 20, "book.txt", limits=DataLimits(max_characters=40))
    assert error.value.line == 3


@pytest.mark.parametrize(
    ("content", "name", "reason"),
    [
        (b"", "data.jsonl", "the file is empty"),
        (b" \n\n", "data.jsonl", "the file is empty"),
        (b"MZ\x90", "data.exe", r"unknown kind of file '\.exe': name it one of \.jsonl"),
        (b"PK\x03\x04", "data.jsonl", "the content is not what the ending"),
        (b"hello", "data.zip", "not a readable zip file"),
        (b"PAR1hello", "data.parquet", "not a readable Parquet file"),
        (b"hello", "data.parquet", "not a readable Parquet file"),
        (b"\x1f\x8b\x08\x00", "data.csv", "not a readable table"),
        (b"text\n\n", "data.csv", "there is no example in it"),
        (b"text,text\na,b\n", "data.csv", "two columns have the same name"),
    ],
)
def test_files_that_are_something_else(read, content, name, reason):
    with pytest.raises(BadTrainingData, match=reason):
        read(content, name)


def test_a_name_without_an_ending_is_read_by_its_content(read):
    assert read(line(text="a"), "upload") == [PlainText("a")]


def test_limits_hold(read):
    with pytest.raises(BadTrainingData, match="the file has 14 bytes; the limit: 10"):
        read('{"text": "ab"}', limits=DataLimits(max_bytes=10))
    with pytest.raises(BadTrainingData, match="the example has 2 characters; the limit: 1"):
        read('{"text": "ab"}', limits=DataLimits(max_characters=1))
