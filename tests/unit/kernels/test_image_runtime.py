"""Which kernels and which precision an image model gets on which machine."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bestiary.errors import KernelError
from deployments.kernels import image_runtime
from deployments.kernels.image_runtime import (
    BFLOAT16,
    image_precision,
    image_provider,
    open_image_graph,
)
from deployments.kernels.openvino import OpenVinoProbe, machine_openvino_probe, why_no_bfloat16
from deployments.kernels.providers import CPU_ONLY, ProviderChoice
from deployments.kernels.sessions import SessionSettings

GPU = ProviderChoice(("CUDAExecutionProvider", "CPUExecutionProvider"), "a device")


def on_a_cpu(monkeypatch: pytest.MonkeyPatch, *flags: str) -> None:
    probe = OpenVinoProbe(lambda: frozenset(flags), lambda: True)
    monkeypatch.setattr(image_runtime, "machine_openvino_probe", lambda: probe)


def test_auto_is_bfloat16_where_the_cpu_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_cpu(monkeypatch, "amx_bf16")
    assert image_precision("auto", CPU_ONLY) == "bf16mix"
    assert image_precision("auto", CPU_ONLY, chooses_codes=True) == "fp32"
    assert image_provider("bf16mix", CPU_ONLY) == "OpenVINOExecutionProvider"
    assert image_provider("fp32", CPU_ONLY) == "CPUExecutionProvider"


def test_auto_is_exact_elsewhere_and_half_on_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_cpu(monkeypatch)
    assert image_precision("auto", CPU_ONLY) == "fp32"
    assert image_precision("auto", GPU) == "fp16"
    assert image_precision("int8", CPU_ONLY) == "int8"
    with pytest.raises(KernelError, match="amx_bf16"):
        image_precision("bf16mix", CPU_ONLY)
    with pytest.raises(KernelError, match="needs a GPU"):
        image_precision("fp16", CPU_ONLY)


@pytest.mark.skipif(
    bool(why_no_bfloat16(machine_openvino_probe())), reason="the CPU has no bfloat16"
)
@pytest.mark.filterwarnings("ignore")  # the exporter warns that it is old
def test_a_row_in_bfloat16_is_the_same_in_any_company(tmp_path) -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(4, 32, 3, padding=1), torch.nn.GroupNorm(8, 32), torch.nn.SiLU(),
        torch.nn.Conv2d(32, 4, 3, padding=1),
    ).eval()  # fmt: skip
    pixels = torch.randn(7, 4, 16, 16)
    torch.onnx.export(
        network, (pixels,), str(tmp_path / "model.onnx"), input_names=["x"], output_names=["y"],
        dynamic_axes={"x": {0: "B"}, "y": {0: "B"}}, dynamo=False,
    )  # fmt: skip
    session = open_image_graph(tmp_path / "model.onnx", BFLOAT16, CPU_ONLY, SessionSettings())
    whole = session.run(None, {"x": pixels.numpy()})[0]
    with torch.no_grad():
        true = network(pixels).numpy()
    assert 0 < np.abs(whole - true).max() < 0.05 * true.std()
    for count in (1, 2, 5):
        assert np.array_equal(session.run(None, {"x": pixels[:count].numpy()})[0], whole[:count])
