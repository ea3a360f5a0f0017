"""Pictures on their way: a bar on the terminal, files as they are done, and what each cost."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bestiary_client import GeneratedImage, ImageDone, ImageProgress, ImageStream
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from bestiary.cli.image_files import make_way, numbered, preview_of
from bestiary.cli.screen import errors


@dataclass(frozen=True)
class Targets:
    """Where the pictures of one command go. Raises Conflict where something is there."""

    files: Sequence[Path]
    previews: int  # of each, written too
    as_json: bool

    @classmethod
    def of(cls, output: Path, count: int, previews: int, *, force: bool, as_json: bool) -> Targets:
        files = numbered(output, count)
        unfinished = [preview_of(one, n) for one in files for n in range(1, previews + 1)]
        make_way([*files, *unfinished], force)
        return cls(files, previews, as_json)


def draw(stream: ImageStream, targets: Targets) -> None:
    """Only the names of finished files go to stdout (or JSON); the rest to stderr."""
    began = time.monotonic()
    previews = [0] * len(targets.files)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=32),
        MofNCompleteColumn(),
        TextColumn("steps"),
        TimeElapsedColumn(),
    )
    done: list[tuple[Path, GeneratedImage]] = []
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bars:
        bar = bars.add_task(f"{len(targets.files)} pictures", total=None)
        steps = [0] * len(targets.files)
        for event in stream:
            target = targets.files[event.index]
            if isinstance(event, ImageDone):
                done.append((event.image.save(target), event.image))
            elif isinstance(event, ImageProgress):
                steps[event.index] = event.step
                bars.update(bar, completed=sum(steps), total=event.steps * len(steps))
                if event.preview is not None and previews[event.index] < targets.previews:
                    previews[event.index] += 1
                    event.preview.save(preview_of(target, previews[event.index]))
    _tell(sorted(done, key=lambda one: targets.files.index(one[0])), targets.as_json)
    model = stream.model or "?"
    errors.print(f"[dim]{escape(model)}, {time.monotonic() - began:.1f} s[/dim]")


def _tell(done: Sequence[tuple[Path, GeneratedImage]], as_json: bool) -> None:
    for path, image in done:
        if as_json:
            facts = {"file": str(path), **_facts(image)}
            print(json.dumps(facts, ensure_ascii=False))
            continue
        print(path)
        work = image.work
        score = "" if image.score is None else f", score {image.score:.3f}"
        errors.print(
            f"[dim]seed {image.seed}, {work.steps} steps, {work.evaluations} evaluations, "
            f"{work.seconds:.2f} s{score}[/dim]"
        )


def _facts(image: GeneratedImage) -> dict[str, object]:
    return {name: value for name, value in asdict(image).items() if name != "data"}
