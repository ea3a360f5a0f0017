"""What callers say -> OpenAI's wire under /v1/files. Pure."""

from __future__ import annotations

from typing import Literal
from urllib.parse import quote

from bestiary_client._file_results import StoredFile
from bestiary_client._requests import Call
from bestiary_client._timeouts import Timeout
from bestiary_client._uploads import Upload

FILES = "/v1/files"


def upload_call(upload: Upload, timeout: float | Timeout | None) -> Call:
    return Call("POST", FILES, upload=upload, timeout=timeout)


def list_files_call(purpose: str | None) -> Call:
    return Call("GET", FILES, params={} if purpose is None else {"purpose": purpose})


def file_call(method: Literal["GET", "DELETE"], file: str | StoredFile) -> Call:
    return Call(method, _path(file))


def content_call(file: str | StoredFile) -> Call:
    return Call("GET", f"{_path(file)}/content")


def _path(file: str | StoredFile) -> str:
    return f"{FILES}/{quote(file.id if isinstance(file, StoredFile) else file, safe='')}"
