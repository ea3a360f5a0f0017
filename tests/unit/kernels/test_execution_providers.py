"""Which providers are chosen on which machine; the machines are described, not had."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deployments.kernels.providers import (
    CPU,
    CUDA,
    CUDA_LIBRARIES,
    TENSORRT,
    TENSORRT_LIBRARIES,
    Probe,
    choose_providers,
    machine_probe,
)

EVERYTHING = (TENSORRT, CUDA, CPU)


def _machine(
    compiled: tuple[str, ...] = EVERYTHING,
    devices: int = 1,
    libraries: tuple[str, ...] = CUDA_LIBRARIES + TENSORRT_LIBRARIES,
) -> Probe:
    return Probe(
        compiled=lambda: compiled,
        devices=lambda: devices,
        preload=lambda: None,
        loads=lambda name: name in libraries,
    )


@pytest.mark.parametrize(
    ("machine", "providers", "reason"),
    [
        (_machine(), (TENSORRT, CUDA, CPU), "TensorRT"),
        (_machine(libraries=CUDA_LIBRARIES), (CUDA, CPU), "TensorRT libraries are missing"),
        (_machine(compiled=(CUDA, CPU)), (CUDA, CPU), "built without TensorRT"),
        (_machine(libraries=TENSORRT_LIBRARIES), (CPU,), "CUDA libraries are missing"),
        (_machine(devices=0), (CPU,), "no CUDA device"),
        (_machine(compiled=(CPU,)), (CPU,), "built without CUDA"),
    ],
)
def test_the_best_that_would_work_is_chosen(
    machine: Probe, providers: tuple[str, ...], reason: str
) -> None:
    choice = choose_providers(machine)
    assert choice.providers == providers
    assert reason in choice.reason


def test_a_missing_library_is_named() -> None:
    choice = choose_providers(_machine(libraries=CUDA_LIBRARIES[:-1] + TENSORRT_LIBRARIES))
    assert CUDA_LIBRARIES[-1] in choice.reason


def test_tensorrt_says_its_version() -> None:
    choice = choose_providers(replace(_machine(), tensorrt=lambda: "101300"))
    assert (choice.tensorrt, choice.builds_engines) == ("101300", True)
    assert "101300" in choice.reason
    assert choose_providers(_machine(devices=0)).tensorrt == ""


def test_libraries_are_not_searched_for_without_a_device() -> None:
    searched: list[str] = []
    probe = Probe(
        compiled=lambda: EVERYTHING,
        devices=lambda: 0,
        preload=lambda: searched.append("preload"),
        loads=lambda name: bool(searched.append(name)),
    )
    choose_providers(probe)
    assert searched == []


def test_this_machine_can_be_asked() -> None:
    assert choose_providers(machine_probe()).providers[-1] == CPU
