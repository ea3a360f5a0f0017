"""Builds are made once, whole, and again where they were damaged."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from bestiary.errors import KernelError
from deployments.kernels.build_cache import BuildCache, BuildKey

KEY = BuildKey("decoder", 1, "revision", "int8", (("positions", "8192"),))


class CountingBuilder:
    """Writes one file; `stop` lets a build be held back."""

    def __init__(self, stop: threading.Event | None = None) -> None:
        self.builds = 0
        self._stop = stop

    def __call__(self, folder: Path) -> None:
        self.builds += 1
        if self._stop is not None:
            self._stop.wait(timeout=10)
        (folder / "model.onnx").write_text("graph")


def test_a_second_request_is_served_from_the_cache(tmp_path: Path) -> None:
    cache, builder = BuildCache(tmp_path), CountingBuilder()
    first = cache.get_or_build(KEY, builder)
    assert cache.get_or_build(KEY, builder) == first
    assert builder.builds == 1


@pytest.mark.parametrize(
    "other",
    [
        replace(KEY, revision="other"),
        replace(KEY, precision="fp32"),
        replace(KEY, builder_version=2),
        replace(KEY, options=()),
    ],
)
def test_whatever_goes_into_a_build_is_in_its_key(other: BuildKey) -> None:
    assert other.digest != KEY.digest


def test_the_manifest_says_what_was_built_and_with_what(tmp_path: Path) -> None:
    folder = BuildCache(tmp_path).get_or_build(KEY, CountingBuilder())
    manifest = json.loads((folder / "build.json").read_text())
    assert manifest["key"]["precision"] == "int8"
    assert manifest["bytes"] == {"model.onnx": 5}
    assert manifest["versions"]["onnxruntime-gpu"]


def test_all_whole_builds_of_some_weights_are_found(tmp_path: Path) -> None:
    cache, half = BuildCache(tmp_path), replace(KEY, precision="fp16")
    folders = {key: cache.get_or_build(key, CountingBuilder()) for key in (KEY, half)}
    cache.get_or_build(replace(KEY, revision="another"), CountingBuilder())
    cache.get_or_build(replace(KEY, kind="encoder"), CountingBuilder())
    damaged = cache.get_or_build(replace(KEY, options=()), CountingBuilder())
    (damaged / "model.onnx").unlink()
    found = cache.builds("decoder", "revision")
    assert {build.key: build.folder for build in found} == folders
    assert {build.bytes for build in found} == {5}


def test_a_failed_build_leaves_nothing_and_can_be_tried_again(tmp_path: Path) -> None:
    cache = BuildCache(tmp_path)

    def fail(folder: Path) -> None:
        (folder / "model.onnx").write_text("half")
        raise KernelError("no")

    with pytest.raises(KernelError):
        cache.get_or_build(KEY, fail)
    assert cache.find(KEY) is None
    assert [path.suffix for path in tmp_path.iterdir()] in ([], [".lock"])
    assert (cache.get_or_build(KEY, CountingBuilder()) / "model.onnx").read_text() == "graph"


@pytest.mark.parametrize("damage", ["cut short", "missing", "no manifest"])
def test_a_damaged_build_is_made_again(tmp_path: Path, damage: str) -> None:
    cache, builder = BuildCache(tmp_path), CountingBuilder()
    folder = cache.get_or_build(KEY, builder)
    if damage == "cut short":
        (folder / "model.onnx").write_text("gra")
    else:
        (folder / ("model.onnx" if damage == "missing" else "build.json")).unlink()
    cache.get_or_build(KEY, builder)
    assert builder.builds == 2
    assert (folder / "model.onnx").read_text() == "graph"


def test_two_at_once_build_once(tmp_path: Path) -> None:
    stop = threading.Event()
    cache, builder = BuildCache(tmp_path), CountingBuilder(stop)
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(cache.get_or_build, KEY, builder) for _ in range(2)]
        stop.set()
        assert both[0].result(timeout=10) == both[1].result(timeout=10)
    assert builder.builds == 1


def test_waiting_for_another_process_has_an_end(tmp_path: Path) -> None:
    with FileLock(tmp_path / f"{KEY.digest}.lock"):
        cache = BuildCache(tmp_path, lock_timeout_s=0.05)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(cache.get_or_build, KEY, CountingBuilder())
            with pytest.raises(KernelError, match="another process"):
                waiting.result(timeout=10)
