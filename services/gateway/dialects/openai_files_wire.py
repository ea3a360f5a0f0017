"""OpenAI's files on the wire: what a form says of its file, and what callers are told of one.

https://platform.openai.com/docs/api-reference/files. Ours: the field `bestiary` of a training
file, which tells what is in it.
"""

from __future__ import annotations

from pathlib import PureWindowsPath
from typing import Literal

from pydantic import BaseModel, ConfigDict

from bestiary.schemas.tuning import DataReport
from bestiary.state.files import StoredFile

MAX_FILES_OF_A_PAGE = 10_000
UNSUPPORTED_FILE = {"expires_after[anchor]": (), "expires_after[seconds]": ()}


class Upload(BaseModel):
    """The form without its file. Purposes of files that only the platform makes are not there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    purpose: Literal["fine-tune", "batch", "vision", "user_data", "assistants", "evals"]


def plain_name(given: str) -> str:
    """Without folders, however the sender's system writes them, and of what can be shown."""
    name = PureWindowsPath(given).name  # knows both slashes
    return "".join(letter for letter in name if letter.isprintable())


def file_json(file: StoredFile) -> dict[str, object]:
    extension = {} if file.report is None else {"bestiary": report_json(file.report)}
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": int(file.created_at.timestamp()),
        "expires_at": None,
        "filename": file.filename,
        "purpose": file.purpose.value,
        "status": file.status.value,
        "status_details": None,
        **extension,
    }


def report_json(report: DataReport) -> dict[str, object]:
    return report.model_dump(mode="json")
