"""Zip files from strangers: what is taken, what is refused, and that nothing is written then."""

from __future__ import annotations

import io
import stat
import warnings
import zipfile
from pathlib import Path

import pytest

from bestiary.errors import UnsafeArchive
from bestiary.garden.archive import unpack


def archive(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        warnings.simplefilter("ignore")  # zipfile warns of a name that is there twice
        for name, content in members:
            opened.writestr(name, content)
    return path


def every(name: str) -> bool:
    return True


def test_only_wanted_members_are_written(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.whl", ("a/x.json", b"1"), ("a/x.py", b"2"))
    assert unpack(path, lambda name: name.endswith(".json"), tmp_path / "out") == ("a/x.json",)
    assert (tmp_path / "out" / "a" / "x.json").read_bytes() == b"1"
    assert not (tmp_path / "out" / "a" / "x.py").exists()


@pytest.mark.parametrize(
    "name", ["../x", "a/../../x", "/etc/x", "a\\..\\x", "C:/x", "a//x", "./x", ".."]
)
def test_foreign_path_is_refused_even_if_not_wanted(tmp_path: Path, name: str) -> None:
    path = archive(tmp_path / "a.whl", ("ok.json", b"1"), (name, b"2"))
    with pytest.raises(UnsafeArchive, match="not a plain relative path"):
        unpack(path, lambda one: one == "ok.json", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_symbolic_link_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("weights.json")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(UnsafeArchive, match="symbolic link"):
        unpack(archive(tmp_path / "a.whl", (link, b"/etc/passwd")), every, tmp_path / "out")


def test_name_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.whl", ("x", b"1"), ("x", b"2"))
    with pytest.raises(UnsafeArchive, match="twice"):
        unpack(path, every, tmp_path / "out")


def test_bomb_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.whl", ("zeros", bytes(1_000_000)))
    assert path.stat().st_size < 10_000
    with pytest.raises(UnsafeArchive, match="unpacks to 1000000 bytes"):
        unpack(path, every, tmp_path / "out", max_unpacked=999_999)
    assert not (tmp_path / "out").exists()


def test_member_larger_than_it_declares_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.whl", ("x", bytes(1000)))
    content = path.read_bytes()
    declared, false = (1000).to_bytes(4, "little"), (10).to_bytes(4, "little")
    path.write_bytes(content.replace(declared, false))
    with pytest.raises(UnsafeArchive, match="not a readable zip file"):
        unpack(path, every, tmp_path / "out")


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 cut off"])
def test_what_is_no_zip_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.whl").write_bytes(content)
    with pytest.raises(UnsafeArchive, match="not a readable zip file"):
        unpack(tmp_path / "a.whl", every, tmp_path / "out")


def test_damaged_member_is_refused(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as opened:
        opened.writestr("x", b"0123456789")
    (tmp_path / "a.whl").write_bytes(packed.getvalue().replace(b"0123", b"9999", 1))
    with pytest.raises(UnsafeArchive, match="Bad CRC"):
        unpack(tmp_path / "a.whl", every, tmp_path / "out")
