"""Certifies an image model's build: compares each graph with what torch made of the same inputs.

The inputs and torch's answers lie beside the build (`reference.npz`, see `image_export.py`). What a
whole pipeline makes of fixed seeds is compared by whoever knows pipelines, as `pipeline`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np

from bestiary.errors import KernelError
from bestiary.garden import InstalledModel
from bestiary.garden.image_certificate import (
    ImageCertificate,
    PartParity,
    PartSpeed,
    PipelineParity,
)
from bestiary.progress import Progress
from deployments.kernels.build_cache import kernel_cache
from deployments.kernels.certificate_file import read_record, write_certificate
from deployments.kernels.certified_once import MEASURES_WITH, certify_build_once, processor
from deployments.kernels.image_build import image_key
from deployments.kernels.image_names import REFERENCE_FILE
from deployments.kernels.image_runtime import image_provider
from deployments.kernels.image_session import Array, Floats, ImageParts, open_parts, read_facts
from deployments.kernels.providers import CPU_ONLY, ProviderChoice

FORMAT = 2  # counted up by whoever changes what a certificate says
LIBRARIES = ("diffusers", "numpy", "onnxruntime-gpu", "torch", "transformers")
ROUNDS = 5

Pipeline = Callable[[ImageParts], PipelineParity]


def certify_image_once(
    model: InstalledModel,
    precision: str,
    home: Path,
    progress: Progress,
    pipeline: Pipeline | None = None,
    choice: ProviderChoice = CPU_ONLY,
) -> None:
    """Writes the certificate of a build that is there, unless it has one that still holds.

    `pipeline` may raise KernelError, which is written down. Raises KernelError where the build
    does not load.
    """
    certify_build_once(
        model,
        image_key(model, precision),
        kernel_cache(home),
        progress,
        holds=lambda folder: _holds(folder, image_provider(precision, choice)),
        certify=lambda folder: write_certificate(
            folder, _measured(model, precision, folder, pipeline, choice)
        ),
    )


def read_image_certificate(folder: Path) -> ImageCertificate | None:
    """None where there is none, or one that is damaged or of an older form."""
    return read_record(folder, ImageCertificate)


def part_parity(parts: ImageParts, name: str, reference: dict[str, Array]) -> PartParity:
    """Of all outputs of a part together; the worst of each number."""
    made = parts.run(name, _named(reference, f"{name}/in/"))
    wanted = _named(reference, f"{name}/out/")
    pairs = [
        (np.abs(own.astype(np.float64) - true.astype(np.float64)), float(true.std()))
        for own, true in zip(made, wanted.values(), strict=True)
    ]
    return PartParity(
        rows=len(made[0]),
        max_error=max(float(error.max()) / max(spread, 1e-6) for error, spread in pairs),
        mean_error=max(float(error.mean()) / max(spread, 1e-6) for error, spread in pairs),
        max_absolute=max(float(error.max()) for error, _ in pairs),
        mean_absolute=max(float(error.mean()) for error, _ in pairs),
    )


def _holds(folder: Path, provider: str) -> bool:
    record = read_image_certificate(folder)
    return record is not None and (
        record.format,
        record.cpu,
        record.provider,
        record.versions.get(MEASURES_WITH),
    ) == (FORMAT, processor(), provider, version(MEASURES_WITH))


def _measured(
    model: InstalledModel,
    precision: str,
    folder: Path,
    pipeline: Pipeline | None,
    choice: ProviderChoice,
) -> ImageCertificate:
    parts = open_parts(folder, precision, threads=0, choice=choice)
    facts = read_facts(folder)
    with np.load(folder / REFERENCE_FILE) as kept:
        reference: dict[str, Array] = dict(kept)
    whole, reason = None, "nobody compares whole pipelines of its kind"
    if pipeline is not None:
        try:
            whole, reason = pipeline(parts), ""
        except KernelError as error:
            reason = error.message
    return ImageCertificate(
        format=FORMAT,
        card=model.card.id,
        revision=model.revision,
        precision=precision,
        parts={name: part_parity(parts, name, reference) for name in facts["parts"]},
        speed={
            name: PartSpeed(
                torch_ms=facts["torch_ms"][name],
                ours_ms={
                    rows: _ms(parts, name, reference, int(rows)) for rows in facts["torch_ms"][name]
                },
            )
            for name in facts["parts"]
        },
        pipeline=whole,
        not_certified=reason,
        bytes=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        versions={name: version(name) for name in LIBRARIES},
        cpu=processor(),
        provider=image_provider(precision, choice),
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _ms(parts: ImageParts, name: str, reference: dict[str, Array], rows: int) -> float:
    """Milliseconds of one run of so many rows, median."""
    given = {key: _repeated(one, rows) for key, one in _named(reference, f"{name}/in/").items()}
    parts.run(name, given)
    took = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        parts.run(name, given)
        took.append(time.perf_counter() - started)
    return round(statistics.median(took) * 1e3, 3)


def _repeated(value: Array, rows: int) -> Array:
    return np.resize(value, (rows, *value.shape[1:]))


def _named(reference: dict[str, Array], prefix: str) -> dict[str, Array]:
    return {
        name.removeprefix(prefix): value
        for name, value in reference.items()
        if name.startswith(prefix)
    }


def psnr(own: Floats, true: Floats) -> float:
    """dB between pictures in -1..1, at most 100."""
    mse = float(np.mean((own.clip(-1, 1) - true.clip(-1, 1)) ** 2)) / 4
    return 100.0 if mse < 1e-10 else min(100.0, -10 * float(np.log10(mse)))
