"""An installed image model -> a folder with its graphs, built once. Knows no requests."""

from __future__ import annotations

from pathlib import Path

from bestiary.garden import InstalledModel
from bestiary.progress import Progress
from deployments.kernels.build_cache import BuildKey, kernel_cache
from deployments.kernels.image_names import BUILD_VERSION, KIND
from deployments.kernels.torch_process import require_memory, run_torch

EXPORTER = "deployments.kernels.image_export"


def build_image_once(model: InstalledModel, precision: str, home: Path, progress: Progress) -> Path:
    """The folder with the model's graphs at this precision, built where they are missing.

    Raises KernelError for a class that nobody can export, and where torch fails.
    """

    def write(folder: Path) -> None:
        with progress.step(f"Building {model.card.id} in {precision}"):
            require_memory(model)
            run_torch(EXPORTER, model.path, folder, precision)

    return kernel_cache(home).get_or_build(image_key(model, precision), write)


def image_key(model: InstalledModel, precision: str) -> BuildKey:
    return BuildKey(
        kind=KIND,
        builder_version=BUILD_VERSION,
        revision=model.revision,
        precision=precision,
    )
