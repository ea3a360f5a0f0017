"""An image model's folder -> its ONNX graphs, and what torch itself makes of stated inputs.

A process of its own (`python -m deployments.kernels.image_export MODEL TARGET PRECISION`), so that
torch is where graphs are built and nowhere else, see `torch_process.py`. Each part is written to
TARGET/<part>/model.onnx. The exporter is TorchScript's: torch's newer one needs `onnxscript`.
"""

from __future__ import annotations

import json
import statistics
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from deployments.kernels import image_names as names
from deployments.kernels.image_precision import convert
from deployments.kernels.image_torch import TorchPart, torch_parts
from deployments.kernels.model_files import GRAPH_FILE
from deployments.kernels.torch_process import torch_main

OPSET = 18
EXPORT_BATCH = 2  # 1 would be taken for a constant
CERTIFIED_BATCH = 4
CALIBRATION_BATCHES = 8
SEED = 20260101
SPEED_BATCHES = (1, 8)
SPEED_ROUNDS = 5


def export(model: str, target: str, precision: str) -> None:
    """Raises KernelError, and whatever torch raises."""
    facts: dict[str, object] = {}
    reference: dict[str, NDArray[np.generic]] = {}
    speeds: dict[str, dict[str, float]] = {}
    for part in torch_parts(Path(model)):
        folder = Path(target) / part.name
        folder.mkdir()
        _write(part, folder / GRAPH_FILE)
        reference |= _reference(part)
        speeds[part.name] = {str(batch): _torch_ms(part, batch) for batch in SPEED_BATCHES}
        facts[part.name] = dict(part.facts)
        convert(folder / GRAPH_FILE, precision, _calibration(part), part.keep_float)
    np.savez(Path(target) / names.REFERENCE_FILE, allow_pickle=False, **reference)
    said = {"parts": facts, "torch_ms": speeds, "torch": torch.__version__}
    (Path(target) / names.FACTS_FILE).write_text(json.dumps(said, indent=2) + "\n", "utf-8")


def _write(part: TorchPart, path: Path) -> None:
    given = part.example(EXPORT_BATCH, _generator(0))
    axes = {name: dict(one) for name, one in (*part.inputs.items(), *part.outputs.items())}
    with warnings.catch_warnings(), torch.no_grad():
        # It warns that it is old, and of every size that it takes for a constant: what the graph
        # makes of other sizes is compared with torch in the tests.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            part.module,
            given,
            str(path),
            input_names=list(part.inputs),
            output_names=list(part.outputs),
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )


def _reference(part: TorchPart) -> dict[str, NDArray[np.generic]]:
    given = part.example(CERTIFIED_BATCH, _generator(1))
    with torch.no_grad():
        made = part.module(*given)
    made = made if isinstance(made, tuple) else (made,)
    kept = {
        f"{part.name}/in/{name}": one.numpy() for name, one in zip(part.inputs, given, strict=True)
    }
    return kept | {
        f"{part.name}/out/{name}": one.numpy() for name, one in zip(part.outputs, made, strict=True)
    }


def _calibration(part: TorchPart) -> list[dict[str, NDArray[np.generic]]]:
    """Inputs whose ranges stand for all; other ones than the certificate's."""
    found = []
    for number in range(CALIBRATION_BATCHES):
        given = part.example(EXPORT_BATCH, _generator(2 + number))
        found.append({name: one.numpy() for name, one in zip(part.inputs, given, strict=True)})
    return found


def _torch_ms(part: TorchPart, batch: int) -> float:
    """Milliseconds of one run, median."""
    given = part.example(batch, _generator(1))
    took = []
    with torch.inference_mode():
        part.module(*given)
        for _ in range(SPEED_ROUNDS):
            started = time.perf_counter()
            part.module(*given)
            took.append(time.perf_counter() - started)
    return round(statistics.median(took) * 1e3, 3)


def _generator(number: int) -> torch.Generator:
    return torch.Generator("cpu").manual_seed(SEED + number)


if __name__ == "__main__":
    torch_main(export)
