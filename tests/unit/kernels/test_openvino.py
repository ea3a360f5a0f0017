"""Where OpenVINO reads prompts, and what is said where it does not; machines are described."""

from __future__ import annotations

import pytest

from deployments.kernels import precision_choice
from deployments.kernels.openvino import OpenVinoProbe, why_no_bfloat16
from deployments.kernels.precision_choice import chosen_prefill_precision
from deployments.kernels.providers import CPU, CPU_ONLY, CUDA, ProviderChoice


def machine(*flags: str, usable: bool = True) -> OpenVinoProbe:
    return OpenVinoProbe(lambda: frozenset(flags), lambda: usable)


def test_a_cpu_that_multiplies_in_bfloat16_is_used() -> None:
    assert why_no_bfloat16(machine("avx2", "amx_bf16")) == ""


@pytest.mark.parametrize(
    ("probe", "said"),
    [
        (machine("avx2", "avx512_bf16"), "the CPU has no amx_bf16"),
        (machine("amx_bf16", usable=False), "onnxruntime-ep-openvino is not installed"),
    ],
)
def test_why_it_is_not_used_is_said(probe: OpenVinoProbe, said: str) -> None:
    assert said in why_no_bfloat16(probe)


@pytest.mark.parametrize(
    ("named", "precision", "choice", "flags", "expected"),
    [
        ("auto", "w8a16", CPU_ONLY, ("amx_bf16",), "bf16mix"),
        ("auto", "fp32", CPU_ONLY, ("amx_bf16",), None),  # whoever asks for fp32 wants it exact
        ("auto", "w8a16", CPU_ONLY, ("avx2",), None),
        ("auto", "fp16", ProviderChoice((CUDA, CPU), "a device"), ("amx_bf16",), None),
        ("int8", "w8a16", CPU_ONLY, ("amx_bf16",), "int8"),
        (None, "w8a16", CPU_ONLY, ("amx_bf16",), None),
    ],
)
def test_auto_reads_prompts_in_bfloat16_where_that_pays(
    monkeypatch: pytest.MonkeyPatch,
    named: str | None,
    precision: str,
    choice: ProviderChoice,
    flags: tuple[str, ...],
    expected: str | None,
) -> None:
    monkeypatch.setattr(precision_choice, "machine_openvino_probe", lambda: machine(*flags))
    assert chosen_prefill_precision(named, precision, choice) == expected
