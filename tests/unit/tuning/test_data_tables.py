"""CSV, TSV and Parquet rows are what JSON lines with the same keys are."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bestiary.errors import BadTrainingData
from services.tuning.data.examples import Completion, LabelledText, TaggedTokens, TextPair
from services.tuning.data.limits import DataLimits
from services.tuning.data.reading import read_examples


def written(tmp_path, content):
    path = tmp_path / "blob"
    path.write_text(content, newline="")
    return path


def test_cells_stay_the_words_they_are(tmp_path):
    path = written(tmp_path, 'text,label\r\n"a, b",007\r\nNA,none\r\n"two\nlines",1\r\n')
    assert list(read_examples(path, "data.csv")) == [
        LabelledText("a, b", "007"),
        LabelledText("NA", "none"),
        LabelledText("two\nlines", "1"),
    ]


def test_tabs_and_a_byte_order_mark(tmp_path):
    path = written(tmp_path, "\ufeffprompt\tcompletion\na, b\tc\n")
    assert list(read_examples(path, "data.tsv")) == [Completion("a, b", "c")]


def test_a_cell_can_hold_messages(tmp_path):
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    cell = json.dumps(messages).replace('"', '""')
    (example,) = read_examples(written(tmp_path, f'messages\n"{cell}"\n'), "chat.csv")
    assert [message.content for message in example.messages] == ["a", "b"]


def test_empty_cells_are_missing(tmp_path):
    path = written(tmp_path, "anchor,positive,negative\na,b,\nc,,d\n")
    examples = read_examples(path, "pairs.csv")
    assert next(examples) == TextPair("a", "b")
    with pytest.raises(BadTrainingData, match="line 3: `positive` is missing"):
        next(examples)


def test_parquet_with_lists(tmp_path):
    path = tmp_path / "blob"
    pq.write_table(pa.table({"tokens": [["a", "b"]], "tags": [["O", "B-X"]]}), path)
    assert list(read_examples(path, "data.parquet")) == [TaggedTokens(("a", "b"), ("O", "B-X"))]


def test_parquet_that_stands_for_too_much_is_not_unpacked(tmp_path):
    path = tmp_path / "blob"
    pq.write_table(pa.table({"text": ["a" * 1000] * 2000}), path)
    with pytest.raises(BadTrainingData, match="it has 2000 rows; the limit: 1000"):
        list(read_examples(path, "data.parquet", limits=DataLimits(max_examples=1000)))
    with pytest.raises(BadTrainingData, match="it unpacks to"):
        list(read_examples(path, "data.parquet", limits=DataLimits(max_unpacked=100)))
