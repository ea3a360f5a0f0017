"""What sessions are told on machines that are described, not had."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from deployments.kernels.build_cache import BuildCache, BuildKey, precision_of
from deployments.kernels.decoder_session import extremes
from deployments.kernels.provider_options import copying_providers, session_providers
from deployments.kernels.providers import CPU, CPU_ONLY, CUDA, TENSORRT, ProviderChoice
from tests.unit.kernels.conftest import OpenSmall, SmallModel
from tests.unit.kernels.rows import decode, feed, tokens

EVERYTHING = ProviderChoice((TENSORRT, CUDA, CPU), "a test", tensorrt="101300")


def told(choice: ProviderChoice, build: Path, precision: str) -> dict[str, dict[str, str]]:
    return dict(session_providers(choice, build, precision))


def test_the_cpu_is_told_nothing(tmp_path: Path) -> None:
    assert session_providers(CPU_ONLY, tmp_path, "int8") == [(CPU, {})]
    assert list(tmp_path.iterdir()) == []


def test_providers_stay_in_their_order(tmp_path: Path) -> None:
    names = [name for name, _ in session_providers(EVERYTHING, tmp_path, "fp16")]
    assert names == [TENSORRT, CUDA, CPU]


def test_engines_and_timings_are_kept_beside_the_build_by_version(tmp_path: Path) -> None:
    options = told(EVERYTHING, tmp_path, "fp16")[TENSORRT]
    engines = Path(options["trt_engine_cache_path"])
    assert options["trt_engine_cache_enable"] == options["trt_timing_cache_enable"] == "1"
    assert options["trt_timing_cache_path"] == str(engines)
    assert engines.is_dir()
    assert engines.is_relative_to(tmp_path)
    other = ProviderChoice(EVERYTHING.providers, "a test", tensorrt="101400")
    assert told(other, tmp_path, "fp16")[TENSORRT]["trt_engine_cache_path"] != str(engines)


@pytest.mark.parametrize(
    ("precision", "fp16", "bf16", "tf32"),
    [("fp32", "0", "0", "0"), ("fp16", "1", "0", "1"), ("bf16", "0", "1", "1")],
)
def test_the_precision_decides_what_is_computed_in(
    tmp_path: Path, precision: str, fp16: str, bf16: str, tf32: str
) -> None:
    options = told(EVERYTHING, tmp_path, precision)
    assert options[TENSORRT]["trt_fp16_enable"] == fp16
    assert options[TENSORRT]["trt_bf16_enable"] == bf16
    assert options[CUDA]["use_tf32"] == tf32


def test_every_gpu_provider_is_on_the_replicas_own_device(tmp_path: Path) -> None:
    options = told(EVERYTHING, tmp_path, "fp16")
    assert {one["device_id"] for one in (options[TENSORRT], options[CUDA])} == {"0"}


def test_copies_build_no_engines() -> None:
    assert [name for name, _ in copying_providers(EVERYTHING)] == [CUDA, CPU]
    assert copying_providers(CPU_ONLY) == [(CPU, {})]


def test_the_installed_onnxruntime_knows_the_options_by_name(tmp_path: Path) -> None:
    import onnxruntime

    folder = Path(onnxruntime.__file__).parent / "capi"
    known = b"".join(path.read_bytes() for path in folder.glob("*.so*"))
    for _, options in session_providers(EVERYTHING, tmp_path, "fp16"):
        for name in options:
            assert name.encode() in known


def test_a_build_says_its_precision_and_engines_leave_it_whole(tmp_path: Path) -> None:
    cache = BuildCache(tmp_path)
    key = BuildKey("decoder", 1, "r1", "fp16")
    folder = cache.get_or_build(key, lambda new: (new / "model.onnx").write_bytes(b"graph"))
    session_providers(EVERYTHING, folder, precision_of(folder))
    assert precision_of(folder) == "fp16"
    assert cache.find(key) == folder
    (folder / "build.json").write_text(json.dumps({}))
    assert precision_of(folder) == ""


def test_extremes_hold_every_run_between_them() -> None:
    shapes = extremes(slots=16, prompt_run=128)
    rows, lengths = [shape[0] for shape in shapes], [shape[1] for shape in shapes]
    assert (min(rows), max(rows), min(lengths), max(lengths)) == (1, 16, 1, 128)
    assert all(one == 1 or length == 1 for one, length, _ in shapes)


def test_running_the_extremes_changes_no_answer(llama: SmallModel, open_small: OpenSmall) -> None:
    decoder = open_small(llama, "fp32")
    first, second = tokens(7, seed=1), tokens(9, seed=2)

    def answers() -> list[np.ndarray]:
        for row, prompt in enumerate((first, second)):
            feed(decoder, row, prompt)
        return [decode(decoder, [step, step + 1], [7 + step, 9 + step]) for step in range(3)]

    before = answers()
    decoder.run_extremes(prompt_run=64)
    assert all(itertools.starmap(np.array_equal, zip(before, answers(), strict=True)))
