"""What an installed model is: a folder, and the record of where each byte in it came from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from bestiary.garden.card import SHA256, ModelCard, Source
from bestiary.schemas.base import Frozen

PROVENANCE = "provenance.json"
LAYOUT = 1  # of an installed folder; raise it where what is written changes

Sha256 = Annotated[str, Field(pattern=SHA256)]


class InstalledFile(Frozen):
    sha256: Sha256
    size: int  # bytes


class Provenance(Frozen):
    """`provenance.json`, beside the weights."""

    card: str
    source: str  # the url that gave the weights
    source_revision: str | None  # the commit that the url stood for, where the source has them
    recipe: Sha256  # see `recipe_of`
    license: str
    provenance: str
    installed_at: str  # ISO 8601, UTC
    versions: dict[str, str]  # of what wrote the folder
    archive_sha256: Sha256 | None
    source_files: dict[str, Sha256]  # as they were fetched
    files: dict[str, InstalledFile]  # as they are installed, this file apart
    gguf_types: dict[str, str]  # installed tensor -> the GGUF type it was stored in; else empty
    base_revision: str | None = None  # of the installed model that a delta was composed with

    @property
    def revision(self) -> str:
        return revision_of({path: file.sha256 for path, file in self.files.items()})


@dataclass(frozen=True)
class InstalledModel:
    """A folder that transformers, safetensors and tokenizers open as it is.

    `config.json`, `model.safetensors` (or shards and their index), `tokenizer.json`,
    `tokenizer_config.json`, where known `generation_config.json`, and `provenance.json`.
    """

    card: ModelCard
    path: Path
    revision: str  # sha256 over the files' names and contents

    @property
    def chat_template(self) -> str | None:
        """Jinja source; hub folders keep it in either of two files."""
        beside = self.path / "chat_template.jinja"
        if beside.exists():
            return beside.read_text("utf-8")
        config = json.loads((self.path / "tokenizer_config.json").read_text("utf-8"))
        template = config.get("chat_template")
        return template if isinstance(template, str) else None

    def provenance(self) -> Provenance:
        return Provenance.model_validate_json((self.path / PROVENANCE).read_bytes())


def revision_of(files: Mapping[str, str]) -> str:
    """One hash for a folder: file name -> sha256, in the order of names."""
    lines = "".join(f"{digest}  {path}\n" for path, digest in sorted(files.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def recipe_of(source: Source) -> str:
    """What decides an installed folder's content: an install of another recipe is stale."""
    # `base` only where there is one: it is younger than folders that are installed.
    left_out = {"size_mb"} | ({"base"} if source.base is None else set())
    made_from = source.model_dump(mode="json", exclude=left_out) | {"layout": LAYOUT}
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()
