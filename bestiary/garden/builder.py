"""Fetched files -> a staged folder, checked against the card. Knows no sources, no store."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bestiary.errors import GardenError
from bestiary.garden.card import Family, ModelCard, Source, WeightsFormat
from bestiary.garden.checksum import check_sha256, sha256_of, sha256_of_files
from bestiary.garden.delta import Delta
from bestiary.garden.disk import MEGABYTE, full_disk_explained, require_space
from bestiary.garden.hf_folder import HfFolder
from bestiary.garden.image_folder import ImageFolder
from bestiary.garden.installed import InstalledFile, InstalledModel, Provenance, recipe_of
from bestiary.garden.sources.source import Fetched
from bestiary.progress import Progress

_FLOATS_FOR_BYTES = 4  # how much larger float32 is than int8
_WRITERS = ("bestiary", "gguf", "numpy", "tokenizers", "transformers")


def build(
    card: ModelCard,
    source: Source,
    fetched: Fetched,
    staged: Path,
    progress: Progress,
    base: InstalledModel | None = None,
) -> Provenance:
    """Fills the empty folder `staged` and says where everything came from.

    `base` is what a delta is composed with. Raises ChecksumMismatch where a fetched file is
    not what `source` says, GardenError where the files are no servable model or the disk is
    full.
    """
    with progress.step(f"checking {card.id}", len(fetched.names), "files") as task:
        source_files: dict[str, str] = {}
        for name in fetched.names:
            source_files[name] = sha256_of(fetched.folder / name)
            task.advance()
    check_sha256(source.files, source_files, source.url)
    gguf_types: dict[str, str] = {}
    if source.format is WeightsFormat.GGUF:
        gguf_types = _convert(fetched, staged, progress)
    elif source.format is WeightsFormat.ONNX_INT8:
        _convert_onnx(fetched, staged, progress)
    elif source.format is WeightsFormat.TORCH:
        _convert_generator(fetched, card, staged, progress)
    elif source.format is WeightsFormat.NCNN:
        _convert_upscaler(fetched, staged, progress)
    elif base is not None:
        _composed(Delta(fetched.folder, base.path), staged, progress)
    else:
        _take(fetched, staged)
    folder = ImageFolder if card.family is Family.IMAGE else HfFolder
    folder(staged)  # raises where it is not whole
    digests = sha256_of_files(staged)
    return Provenance(
        card=card.id,
        source=source.url,
        source_revision=fetched.revision,
        recipe=recipe_of(source),
        license=card.license,
        provenance=card.provenance,
        installed_at=datetime.now(UTC).isoformat(timespec="seconds"),
        versions={name: version(name) for name in _WRITERS},
        archive_sha256=source.archive_sha256,
        source_files=source_files,
        files={
            path: InstalledFile(sha256=digest, size=(staged / path).stat().st_size)
            for path, digest in digests.items()
        },
        gguf_types=gguf_types,
        base_revision=base.revision if base is not None else None,
    )


def _convert(fetched: Fetched, staged: Path, progress: Progress) -> dict[str, str]:
    # Imported here: transformers takes two seconds, and only a conversion needs it.
    from bestiary.garden.gguf.convert import Conversion

    if len(fetched.names) != 1:
        raise GardenError(f"name one GGUF file under `files`, not {', '.join(fetched.names)}")
    conversion = Conversion(fetched.folder / fetched.names[0])
    purpose = f"the converted {fetched.names[0]}"
    require_space(staged, conversion.size, purpose)
    with full_disk_explained(staged, conversion.size, purpose):
        conversion.write(staged, progress)
    return conversion.gguf_types


def _convert_onnx(fetched: Fetched, staged: Path, progress: Progress) -> None:
    # Imported here: numpy's and onnx's half a second is a conversion's alone.
    from bestiary.garden.onnx_t5 import FILES, convert_t5

    if frozenset(fetched.names) != FILES:
        named = ", ".join(sorted(FILES))
        raise GardenError(f"name {named} under `files`, not {', '.join(fetched.names)}")
    size = sum((fetched.folder / name).stat().st_size for name in fetched.names)
    size *= _FLOATS_FOR_BYTES
    require_space(staged, size, "the converted graphs")
    with full_disk_explained(staged, size, "the converted graphs"):
        convert_t5(fetched.folder, staged, progress)


def _convert_generator(fetched: Fetched, card: ModelCard, staged: Path, progress: Progress) -> None:
    # Imported here: torch is a conversion's alone.
    from bestiary.garden.torch_generator import convert_generator

    if len(fetched.names) != 1:
        raise GardenError(f"name one state dict under `files`, not {', '.join(fetched.names)}")
    convert_generator(fetched.folder / fetched.names[0], card, staged, progress)


def _convert_upscaler(fetched: Fetched, staged: Path, progress: Progress) -> None:
    # Imported here: numpy is a conversion's alone.
    from bestiary.garden.ncnn_upscaler import convert_upscaler

    found = {Path(name).suffix: fetched.folder / name for name in fetched.names}
    if len(fetched.names) != 2 or set(found) != {".param", ".bin"}:
        raise GardenError(
            f"name a .param and its .bin under `files`, not {', '.join(fetched.names)}"
        )
    convert_upscaler(found[".param"], found[".bin"], staged, progress)


def _composed(delta: Delta, staged: Path, progress: Progress) -> None:
    purpose = "the composed weights"
    require_space(staged, delta.size, purpose)
    with (
        full_disk_explained(staged, delta.size, purpose),
        progress.step("composing weights with their base", delta.size / MEGABYTE, "MB") as task,
    ):
        delta.compose(staged)
        task.advance(delta.size / MEGABYTE)


def _take(fetched: Fetched, staged: Path) -> None:
    """Moves or copies. Never a hard link: ONNX Runtime refuses data files that have several."""
    size = sum((fetched.folder / name).stat().st_size for name in fetched.names)
    if not fetched.owned:
        require_space(staged, size, "a copy of the weights")
    with full_disk_explained(staged, size, "a copy of the weights"):
        for name in fetched.names:
            target = staged / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if fetched.owned:
                (fetched.folder / name).replace(target)
            else:
                shutil.copyfile(fetched.folder / name, target)
