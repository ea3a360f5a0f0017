"""Pictures behind URLs: bounded in age and in bytes, and no way to any other file."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from image_fakes import picture

from bestiary.errors import NotFound
from bestiary.schemas.image import ImageFormat, Picture
from services.gateway.image_store import ImageStore

BOUND = 64_000


@pytest.fixture
def clock():
    return SimpleNamespace(now=1_700_000_000.0)


@pytest.fixture
def store(tmp_path: Path, clock):
    folder = tmp_path / "images"
    return ImageStore(folder, max_bytes=BOUND, max_age_s=60, clock=lambda: clock.now)


def of_bytes(size: int) -> Picture:
    return Picture(b"x" * size, ImageFormat.PNG, 1, 1)


def kept(tmp_path: Path) -> set[str]:
    return {file.name for file in (tmp_path / "images").iterdir()}


def test_a_picture_comes_back_as_it_was(store):
    made = picture(5, ImageFormat.WEBP)
    stored = store.get(store.put(made))
    assert (stored.data, stored.format, stored.remaining_s) == (made.data, ImageFormat.WEBP, 60)


def test_names_tell_nothing_and_differ(store):
    names = {store.put(picture(5)) for _ in range(20)}
    assert len(names) == 20
    assert {len(name) for name in names} == {len("0" * 64 + ".png")}


def test_only_the_owner_reads_the_folder(store, tmp_path):
    store.put(picture(5))
    assert (tmp_path / "images").stat().st_mode & 0o077 == 0


def test_another_process_finds_it(store, tmp_path, clock):
    name = store.put(picture(5))
    other = ImageStore(tmp_path / "images", max_bytes=BOUND, max_age_s=60, clock=lambda: clock.now)
    assert other.get(name).data == picture(5).data


def test_what_is_too_old_is_gone_before_it_is_swept_and_then_the_file_too(store, clock, tmp_path):
    name = store.put(picture(5))
    clock.now += 60
    with pytest.raises(NotFound, match="open for a while"):
        store.get(name)
    assert kept(tmp_path) == {name}
    store.sweep()
    assert kept(tmp_path) == set()


def test_over_the_bound_the_oldest_go_first(store, clock, tmp_path):
    names = []
    for _ in range(20):
        clock.now += 1
        names.append(store.put(of_bytes(8_000)))
    assert kept(tmp_path) == set(names[-8:])


def test_an_unfinished_file_is_no_picture_and_goes_too(store, clock, tmp_path):
    name = store.put(picture(5))
    unfinished = tmp_path / "images" / f"{name}.part"
    (tmp_path / "images" / name).rename(unfinished)
    with pytest.raises(NotFound):
        store.get(unfinished.name)
    clock.now += 61
    store.sweep()
    assert kept(tmp_path) == set()


def test_what_others_put_there_stays(store, clock, tmp_path):
    store.put(picture(5))
    (tmp_path / "images" / "notes.txt").write_text("mine")
    clock.now += 1000
    store.sweep()
    assert kept(tmp_path) == {"notes.txt"}


@pytest.mark.parametrize("name", ["", ".", "..", "../a.png", "/etc/passwd", "a\0.png", "notes.txt"])
def test_what_is_no_name_is_not_looked_for(store, name, tmp_path):
    store.put(picture(5))
    (tmp_path / "images" / "notes.txt").write_text("mine")
    with pytest.raises(NotFound):
        store.get(name)


def test_nothing_is_swept_where_nothing_was_kept(store, tmp_path):
    store.sweep()
    assert not (tmp_path / "images").exists()
