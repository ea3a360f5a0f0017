"""`hf://org/name@revision`: a Hugging Face hub, or a mirror named by HF_ENDPOINT.

Only data files are asked for, never pickles or code. Downloads resume where a killed one
stopped (`snapshot_download` starts such a file again). A hub that cannot be reached is
found out in two seconds, not after the client's retries.
"""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bestiary.errors import CardInvalid, ChecksumMismatch, SourceUnavailable, UnsafeArchive
from bestiary.garden.archive import is_plain_path
from bestiary.garden.card import Source
from bestiary.garden.checksum import sha256_of
from bestiary.garden.file_kinds import is_wanted
from bestiary.garden.sources.growth import watched
from bestiary.garden.sources.reachable import require_reachable
from bestiary.garden.sources.source import Fetched, address_of, fetched_from
from bestiary.progress import Progress

PUBLIC_HUB = "https://huggingface.co"
PROBE_DEADLINE_S = 2.0
REQUEST_TIMEOUT_S = 30.0
PARALLEL = 4  # files at a time
_ADDRESS = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")
_TRUE = {"1", "ON", "YES", "TRUE"}  # as huggingface_hub reads its own switches


class HubSource:
    """`probe_deadline_s` bounds how long an unreachable hub holds up an install."""

    def __init__(self, *, probe_deadline_s: float = PROBE_DEADLINE_S) -> None:
        self._probe_deadline_s = probe_deadline_s

    def fetch(self, source: Source, partial: Path, progress: Progress) -> Fetched:
        """See `WeightSource`."""
        matched = _ADDRESS.fullmatch(address_of(source))
        if matched is None:
            raise CardInvalid(f"{source.url}: write hf://org/name@revision")
        if os.environ.get("HF_HUB_OFFLINE", "").upper() in _TRUE:
            raise SourceUnavailable("HF_HUB_OFFLINE is set")
        endpoint = os.environ.get("HF_ENDPOINT", PUBLIC_HUB).rstrip("/")
        require_reachable(endpoint, self._probe_deadline_s)
        # Imported here: half a second that the other sources need not pay.
        import httpx2
        from huggingface_hub.errors import HfHubHTTPError

        title = f"downloading {matched['repo']}"
        try:
            with (
                progress.step(title, source.size_mb, "MB") as task,
                watched(partial, task),
            ):
                repository = _Repository(endpoint, matched["repo"], matched["revision"])
                folder = partial / repository.commit
                repository.download(source, folder)
        except (HfHubHTTPError, httpx2.TransportError) as error:
            raise SourceUnavailable(f"{endpoint}: {_first_line(error)}") from error
        return fetched_from(folder, source, owned=True, revision=repository.commit)


@dataclass(frozen=True)
class _File:
    path: str
    size: int  # bytes
    sha256: str | None  # the hub knows it of large files


class _Repository:
    """One commit of one repository; a branch is resolved once, so files never mix commits."""

    def __init__(self, endpoint: str, repo: str, revision: str | None) -> None:
        from huggingface_hub import HfApi

        self._endpoint = endpoint
        self._repo = repo
        self._api = HfApi(endpoint=endpoint)
        told = self._api.model_info(repo, revision=revision, timeout=REQUEST_TIMEOUT_S)
        if not told.sha:
            raise SourceUnavailable(f"{endpoint} names no commit for {repo}")
        self.commit = told.sha

    def download(self, source: Source, folder: Path) -> None:
        files = [file for file in self._files() if is_wanted(file.path, source)]
        with ThreadPoolExecutor(PARALLEL) as pool:
            for _ in pool.map(lambda file: self._get(file, folder / file.path), files):
                pass

    def _files(self) -> list[_File]:
        from huggingface_hub.hf_api import RepoFile

        listed = self._api.list_repo_tree(self._repo, recursive=True, revision=self.commit)
        files = [
            _File(one.path, one.size, one.lfs.sha256 if one.lfs else None)
            for one in listed
            if isinstance(one, RepoFile)
        ]
        for file in files:
            if not is_plain_path(file.path):
                raise UnsafeArchive(f"{self._repo}: the file {file.path!r} leaves its folder")
        return files

    def _get(self, file: _File, target: Path) -> None:
        from huggingface_hub import hf_hub_url
        from huggingface_hub.file_download import http_get
        from huggingface_hub.utils import build_hf_headers, disable_progress_bars

        if target.exists():  # whole, from an earlier try
            return
        disable_progress_bars()  # `progress` shows it
        part = target.with_name(f".{target.name}.part")
        part.parent.mkdir(parents=True, exist_ok=True)
        url = hf_hub_url(self._repo, file.path, revision=self.commit, endpoint=self._endpoint)
        # Compressed, a stream could not be taken up in its middle.
        headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
        with part.open("ab") as opened:
            done = opened.tell()
            if done < file.size:
                http_get(url, opened, resume_size=done, headers=headers)
        self._check(file, part)
        part.replace(target)

    def _check(self, file: _File, part: Path) -> None:
        size = part.stat().st_size
        if size != file.size:
            part.unlink()
            raise SourceUnavailable(f"{file.path}: {size} bytes came, {file.size} were listed")
        if file.sha256 is not None and sha256_of(part) != file.sha256:
            part.unlink()
            raise ChecksumMismatch(f"{self._repo}: {file.path} is not what the hub lists")


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), repr(error))
