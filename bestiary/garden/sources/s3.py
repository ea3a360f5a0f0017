"""`s3://bucket/prefix`: a folder in an S3-compatible store.

Credentials, region and AWS_ENDPOINT_URL are boto3's own business. boto3 is the extra
`bestiary[s3]`. Half downloads resume by byte range, as long as the object is the same.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bestiary.errors import CardInvalid, SourceUnavailable, UnsafeArchive
from bestiary.garden.archive import is_plain_path
from bestiary.garden.card import Source
from bestiary.garden.disk import MEGABYTE
from bestiary.garden.file_kinds import is_wanted
from bestiary.garden.sources.source import Fetched, address_of, fetched_from
from bestiary.progress import Progress, Task

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 60
ATTEMPTS = 3
_ADDRESS = re.compile(r"(?P<bucket>[a-z0-9][a-z0-9.-]+)/(?P<prefix>.+)")
_BLOCK = 1 << 20  # bytes


@dataclass(frozen=True)
class _Object:
    key: str
    path: str  # below the prefix
    etag: str
    size: int  # bytes


class S3Source:
    def fetch(self, source: Source, partial: Path, progress: Progress) -> Fetched:
        """See `WeightSource`."""
        matched = _ADDRESS.fullmatch(address_of(source))
        if matched is None:
            raise CardInvalid(f"{source.url}: write s3://bucket/prefix")
        try:
            import boto3  # an extra
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError, ClientError
        except ImportError as error:
            raise SourceUnavailable("boto3 is missing: pip install bestiary[s3]") from error
        # "when_required": stores other than AWS answer the newer default checksums with errors.
        config = Config(
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path"},
        )
        try:
            client = boto3.session.Session().client("s3", config=config)
            bucket = _Bucket(client, matched["bucket"])
            return _fetch(bucket, matched["prefix"].rstrip("/") + "/", source, partial, progress)
        except (BotoCoreError, ClientError) as error:
            raise SourceUnavailable(str(error)) from error


class _Bucket:
    """The two calls that are needed. `client` is boto3's, which has no static types."""

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self._name = name

    def list(self, prefix: str) -> list[_Object]:
        pages = self._client.get_paginator("list_objects_v2")
        return [
            _Object(one["Key"], one["Key"].removeprefix(prefix), one["ETag"], one["Size"])
            for page in pages.paginate(Bucket=self._name, Prefix=prefix)
            for one in page.get("Contents", ())
        ]

    def download(self, one: _Object, target: Path, task: Task) -> None:
        """Appends to what an earlier try left."""
        part = target.with_name(f".{target.name}.part")
        part.parent.mkdir(parents=True, exist_ok=True)
        part.touch()
        done = part.stat().st_size
        task.advance(done / MEGABYTE)
        if done < one.size:
            reply = self._client.get_object(
                Bucket=self._name, Key=one.key, IfMatch=one.etag, Range=f"bytes={done}-"
            )
            with part.open("ab") as file:
                for block in reply["Body"].iter_chunks(_BLOCK):
                    file.write(block)
                    task.advance(len(block) / MEGABYTE)
        size = part.stat().st_size
        if size != one.size:
            part.unlink()
            raise SourceUnavailable(f"{one.key}: {size} bytes came, {one.size} were listed")
        part.replace(target)


def _fetch(
    bucket: _Bucket, prefix: str, source: Source, partial: Path, progress: Progress
) -> Fetched:
    wanted = [one for one in bucket.list(prefix) if is_wanted(one.path, source)]
    folder = partial / _version(wanted)
    total = sum(one.size for one in wanted) / MEGABYTE
    with progress.step(f"downloading {source.url}", total, "MB") as task:
        for one in wanted:
            if not is_plain_path(one.path):
                raise UnsafeArchive(f"{source.url}: the key {one.key!r} leaves the folder")
            if (folder / one.path).exists():  # whole, from an earlier try
                task.advance(one.size / MEGABYTE)
            else:
                bucket.download(one, folder / one.path, task)
    return fetched_from(folder, source, owned=True)


def _version(objects: list[_Object]) -> str:
    """Changes with any object, so that a resumed download never mixes two versions."""
    lines = "".join(f"{one.etag} {one.size} {one.key}\n" for one in objects)
    return hashlib.sha256(lines.encode()).hexdigest()[:16]
