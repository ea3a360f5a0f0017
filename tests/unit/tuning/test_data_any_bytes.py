"""Whatever the bytes of a file are, what comes of them is examples or typed problems."""

from __future__ import annotations

import io
import json
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from bestiary.errors import BadTrainingData
from bestiary.schemas.tuning import DataFormat
from services.tuning.data.checking import MAX_PROBLEMS, check_file
from services.tuning.data.formats import KEYS
from services.tuning.data.reading import read_examples
from services.tuning.data.sources.kinds import READERS

often = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
seldom = settings(often, max_examples=12)
names = st.sampled_from(sorted(ending for ending in READERS if ending not in (".csv", ".tsv")))
formats = st.sampled_from([None, *DataFormat])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "messages", "weight", "type", "text"]), inner
        )
    ),
    max_leaves=8,
)
rows = st.sampled_from(KEYS).flatmap(
    lambda one: st.fixed_dictionaries(dict.fromkeys(one[1], json_values))
)


def judged(path, name, format=None):
    """Reads it both ways, which must agree."""
    found = check_file(path, name, format=format)
    assert (found.report is None) == bool(found.problems)
    assert len(found.problems) <= MAX_PROBLEMS
    assert all(problem.reason and problem.line >= 0 for problem in found.problems)
    try:
        examples = list(read_examples(path, name, format))
    except BadTrainingData:
        assert found.report is None
    else:
        assert examples
    return found


@given(content=st.binary(max_size=300), name=names, format=formats)
@often
def test_any_bytes(tmp_path, content, name, format):
    path = tmp_path / "blob"
    path.write_bytes(content)
    judged(path, f"data{name}", format)


@given(content=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
@seldom
def test_any_bytes_as_a_table(tmp_path, content):
    path = tmp_path / "blob"
    path.write_bytes(content)
    judged(path, "data.csv")


@given(documents=st.lists(rows, min_size=1, max_size=4), format=formats)
@often
def test_any_values_of_the_known_keys(tmp_path, documents, format):
    path = tmp_path / "blob"
    path.write_text("\n".join(json.dumps(one) for one in documents))
    judged(path, "data.jsonl", format)


def a_zip():
    content, picture = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (2, 2)).save(picture, "PNG")
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("a.png", picture.getvalue())
        archive.writestr("metadata.csv", "file_name,text\na.png,one\n")
    return content.getvalue()


def a_parquet():
    content = io.BytesIO()
    pq.write_table(pa.table({"text": ["a", "b"], "label": [0, 1]}), content)
    return content.getvalue()


@pytest.mark.parametrize(("whole", "name"), [(a_zip(), "a.zip"), (a_parquet(), "a.parquet")])
@given(data=st.data())
@seldom
def test_damaged_containers(tmp_path, whole, name, data):
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "blob"
    path.write_bytes(bytes(content[: data.draw(st.integers(1, len(content)))]))
    judged(path, name)
