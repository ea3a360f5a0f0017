"""What is told of a file before anybody trains on it."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from bestiary.errors import CardInvalid
from bestiary.schemas.text import ChatMessage
from bestiary.schemas.tuning import DataFormat, LengthBin
from services.tuning.data.chat_text import chat_text
from services.tuning.data.checking import MAX_PROBLEMS, check_file
from services.tuning.data.counting import count_tokens, with_tokens
from services.tuning.data.examples import Conversation, LabelledText, PlainText, Preference
from services.tuning.data.limits import DataLimits
from services.tuning.data.reading import read_examples


def written(tmp_path, documents):
    path = tmp_path / "blob"
    path.write_text("".join(json.dumps(one) + "\n" for one in documents))
    return path


def labelled(counts):
    return [
        {"text": f"{label} {at}", "label": label}
        for label, count in counts.items()
        for at in range(count)
    ]


def test_a_report(tmp_path):
    documents = [{"text": "a" * 10 + str(at)} for at in range(9)] + [{"text": "b" * 40}] * 2
    report = check_file(written(tmp_path, documents), "data.jsonl").report
    assert report.format is DataFormat.TEXT
    assert (report.examples, report.characters, report.duplicates) == (11, 179, 1)
    assert report.lengths == (
        LengthBin(up_to=16, examples=9),
        LengthBin(up_to=32, examples=0),
        LengthBin(up_to=64, examples=2),
    )


def test_few_examples_are_a_problem_of_the_file(tmp_path):
    found = check_file(written(tmp_path, [{"text": "a"}] * 9), "data.jsonl")
    assert found.report is None
    assert found.problems[0].line == 0
    assert "9 examples; at least 10" in found.problems[0].reason


def test_bad_lines_are_collected_with_their_numbers(tmp_path):
    documents = [{"text": "a"}, {"text": ""}] * 30
    problems = check_file(written(tmp_path, documents), "data.jsonl").problems
    assert [problem.line for problem in problems] == list(range(2, 2 * MAX_PROBLEMS + 1, 2))


def test_labels_are_counted_and_unbalanced_ones_warned_of(tmp_path):
    report = check_file(written(tmp_path, labelled({"ham": 40, "spam": 2})), "data.jsonl").report
    assert report.labels == {"ham": 40, "spam": 2}
    assert report.warnings == ("label 'ham' has 40 examples and 'spam' only 2",)


def test_one_label_is_nothing_to_tell_apart(tmp_path):
    found = check_file(written(tmp_path, labelled({"ham": 12})), "data.jsonl")
    assert "one label" in found.problems[0].reason


def test_duplicates_and_unused_keys_are_warned_of(tmp_path):
    documents = [{"text": "a", "id": 1}] * 5 + [{"text": f"b{at}"} for at in range(9)]
    report = check_file(written(tmp_path, documents), "data.jsonl").report
    assert report.warnings == ("4 of 14 examples are exact duplicates", "not used: id")


def test_too_many_examples_are_a_problem(tmp_path):
    path = written(tmp_path, [{"text": f"a{at}"} for at in range(12)])
    found = check_file(path, "data.jsonl", limits=DataLimits(max_examples=11))
    assert [problem.reason for problem in found.problems] == ["there are over 11 examples"]


def test_a_big_file_is_never_in_memory(tmp_path):
    path = written(tmp_path, ({"text": f"{at} " + "word " * 800} for at in range(5000)))
    assert path.stat().st_size > 20_000_000
    tracemalloc.start()
    report = check_file(path, "data.jsonl").report
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert report.examples == 5000
    assert peak < 5_000_000


@pytest.fixture(scope="module")
def tokenizer_file(tmp_path_factory):
    tokenizer = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    path = tmp_path_factory.mktemp("words") / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def test_tokens_are_the_tokenizers(tokenizer_file):
    counts = count_tokens(
        [PlainText("a b c"), LabelledText("a", "x", "b")], tokenizer_file, context=2
    )
    assert (counts.examples, counts.tokens, counts.longest, counts.over_context) == (2, 5, 3, 1)


def test_conversations_count_as_their_template_writes_them(tokenizer_file):
    template = chat_text("{% for one in messages %}<{{ one.role }}> {{ one.content }} {% endfor %}")
    asked, answer = (
        ChatMessage(role="user", content="a b"),
        ChatMessage(role="assistant", content="c"),
    )
    conversation = Conversation((asked, answer), (1,))
    assert count_tokens([conversation], tokenizer_file, template).tokens == 5
    assert count_tokens([Preference((asked,), "c", "d d")], tokenizer_file, template).tokens == 11


def test_examples_over_the_context_are_warned_of(tmp_path, tokenizer_file):
    path = written(tmp_path, [{"text": "a b c d"}] + [{"text": f"a {at}"} for at in range(9)])
    report = check_file(path, "data.jsonl").report
    counts = count_tokens(read_examples(path, "data.jsonl"), tokenizer_file, context=3)
    told = with_tokens(report, counts, 3)
    assert told.tokens == 22
    assert told.warnings[-1].startswith("1 examples are longer than the context of 3 tokens")


def test_what_is_no_tokenizer_is_refused(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(CardInvalid, match=r"tokenizer\.json is not a readable tokenizer"):
        count_tokens([PlainText("a")], tmp_path / "tokenizer.json")


def test_a_template_that_is_no_jinja_is_refused():
    with pytest.raises(CardInvalid, match="chat template is not valid"):
        chat_text("{% for %}")
