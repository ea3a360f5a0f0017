"""Zips of pictures: layouts that are read, archives that are refused."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib

import pytest
from PIL import Image

from bestiary.errors import BadTrainingData
from bestiary.schemas.tuning import DataFormat
from services.tuning.data.checking import check_file
from services.tuning.data.limits import DataLimits
from services.tuning.data.reading import read_examples


def picture(colour="red", size=(8, 8), format="PNG", **options):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, format, **options)
    return buffer.getvalue()


def zipped(tmp_path, members, compression=zipfile.ZIP_DEFLATED):
    path = tmp_path / "blob"
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def read(path, **options):
    return [(one.name, one.caption) for one in read_examples(path, "pictures.zip", **options)]


def test_captions_in_metadata_jsonl(tmp_path):
    listed = (
        b'{"file_name": "a.png", "text": "a red square"}\n{"file_name": "b.jpg", "caption": "b"}\n'
    )
    members = {"a.png": picture(), "b.jpg": picture(format="JPEG"), "metadata.jsonl": listed}
    assert read(zipped(tmp_path, members)) == [("a.png", "a red square"), ("b.jpg", "b")]


def test_captions_in_metadata_csv_of_a_folder(tmp_path):
    members = {
        "data/metadata.csv": "file_name,text\na.webp,one\n",
        "data/a.webp": picture(format="WEBP"),
        "__MACOSX/data/._a.webp": b"x",
        "data/.DS_Store": b"x",
    }
    assert read(zipped(tmp_path, members)) == [("data/a.webp", "one")]


def test_captions_beside_the_pictures(tmp_path):
    path = zipped(
        tmp_path, {"b.png": picture(), "b.txt": "two\n", "a.png": picture(), "a.txt": "one"}
    )
    assert read(path) == [("a.png", "one"), ("b.png", "two")]


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"../a.png": b""}, "is not a plain relative path"),
        ({"/a.png": b""}, "is not a plain relative path"),
        ({"a.zip": b"PK"}, "an archive in the archive"),
        ({"a.exe": b"MZ"}, "neither a picture"),
        ({"a.png": picture()}, "'a.png' has no caption: add 'a.txt'"),
        ({"a.png": picture(), "a.txt": b"\xff"}, "'a.txt' is not UTF-8"),
        ({"a.png": picture(), "a.txt": " "}, "no caption, or an empty one"),
        ({"a.png": b"hello", "a.txt": "a"}, "is no PNG, JPEG or WebP picture"),
        ({"a.png": picture()[:-30], "a.txt": "a"}, "is damaged"),
        (
            {"a.png": picture(), "metadata.jsonl": b"{}"},
            "line 1: `file_name` None: no such picture",
        ),
        ({"a.png": picture(), "metadata.csv": b"file_name\n"}, "no caption in metadata.csv"),
        ({"metadata.csv": b"", "b/metadata.csv": b""}, "several lists of captions"),
        ({}, "not a readable zip file|no example"),
    ],
)
def test_what_is_refused(tmp_path, members, reason):
    with pytest.raises(BadTrainingData, match=reason):
        read(zipped(tmp_path, members))


def test_a_symbolic_link_is_refused(tmp_path):
    link = zipfile.ZipInfo("a.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "blob", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(BadTrainingData, match="is a symbolic link"):
        read(tmp_path / "blob")


def test_an_encrypted_member_is_refused(tmp_path):
    path = zipped(tmp_path, {"a.txt": "a"}, zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    content[6] |= 1  # of the member's header
    content[content.index(b"PK\x01\x02") + 8] |= 1  # of its entry in the list
    path.write_bytes(bytes(content))
    with pytest.raises(BadTrainingData, match="is encrypted"):
        read(path)


def test_a_bomb_is_not_unpacked(tmp_path):
    path = zipped(tmp_path, {"a.txt": b"0" * 1_000_000})
    with pytest.raises(BadTrainingData, match="unpacks to 1000000 bytes"):
        read(path, limits=DataLimits(max_unpacked=100_000))


def test_a_picture_of_too_many_pixels_is_not_decoded(tmp_path):
    small = picture()
    header = b"IHDR" + struct.pack(">II", 20_000, 10_000) + small[24:29]
    huge = small[:12] + header + struct.pack(">I", zlib.crc32(header)) + small[33:]
    with pytest.raises(BadTrainingData, match="has 200000000 pixels"):
        read(zipped(tmp_path, {"a.png": huge, "a.txt": "a"}))


def test_an_animation_is_refused(tmp_path):
    frames = [Image.new("RGB", (8, 8), "blue")]
    moving = picture(format="WEBP", save_all=True, append_images=frames)
    with pytest.raises(BadTrainingData, match="is an animation"):
        read(zipped(tmp_path, {"a.webp": moving, "a.txt": "a"}))


def test_a_damaged_picture_does_not_hide_the_next_problem(tmp_path):
    members = {"a.png": b"x", "a.txt": "a", "b.png": b"y", "b.txt": "b"}
    found = check_file(zipped(tmp_path, members), "pictures.zip")
    assert [problem.reason[:7] for problem in found.problems] == ["'a.png'", "'b.png'"]


def test_the_report_of_a_good_zip(tmp_path):
    members = {f"{at}.png": picture(size=(8, at + 1)) for at in range(10)}
    members |= {f"{at}.txt": "square" for at in range(10)}
    found = check_file(zipped(tmp_path, members), "pictures.zip")
    assert found.problems == ()
    assert found.report.format is DataFormat.CAPTIONED_IMAGES
    assert (found.report.examples, found.report.duplicates) == (10, 0)
