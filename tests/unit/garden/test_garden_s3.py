"""`s3://` against a bucket on loopback that speaks ListObjectsV2 and ranged GetObject."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest

from bestiary.errors import CardNotInstalled, UnsafeArchive
from bestiary.garden import Garden

pytest.importorskip("boto3", reason="boto3 is the extra bestiary[s3]")

MakeCard = Callable[..., str]
PREFIX = "models/tiny/"
WEIGHTS = PREFIX + "model.safetensors"


class Bucket(ThreadingHTTPServer):
    """One bucket, `weights`. `cut_at` ends the stream of weights after that many bytes."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.objects = objects
        self.cut_at: int | None = None
        self.ranges: list[tuple[str, str | None]] = []


class _Answers(BaseHTTPRequestHandler):
    server: Bucket

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        bucket, _, key = unquote(url.path).lstrip("/").partition("/")
        if bucket != "weights":
            self._send(404, b"<Error><Code>NoSuchBucket</Code><Message>none</Message></Error>")
        elif key:
            self._object(key)
        else:
            self._list(parse_qs(url.query)["prefix"][0])

    def _list(self, prefix: str) -> None:
        rows = "".join(
            f"<Contents><Key>{escape(key)}</Key><ETag>{_etag(content)}</ETag>"
            f"<Size>{len(content)}</Size></Contents>"
            for key, content in self.server.objects.items()
            if key.startswith(prefix)
        )
        self._send(200, f"<ListBucketResult>{rows}</ListBucketResult>".encode())

    def _object(self, key: str) -> None:
        content = self.server.objects[key]
        wanted = self.headers.get("Range")
        self.server.ranges.append((key, wanted))
        assert self.headers["If-Match"] == _etag(content)
        start = int((wanted or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        cut = self.server.cut_at if key == WEIGHTS else None
        self._send(206 if start else 200, content[start:], cut)

    def _send(self, status: int, content: bytes, cut: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:cut])

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the test's stderr."""


def _etag(content: bytes) -> str:
    return f'"{hashlib.md5(content).hexdigest()}"'


@pytest.fixture
def bucket(model_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    objects = {PREFIX + name: content for name, content in model_files.items()}
    server = Bucket({**objects, PREFIX + "model.bin": b"pickle", "models/other/x.json": b"{}"})
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def card(make_card: MakeCard) -> str:
    return make_card({"url": "s3://weights/models/tiny"})


def test_safe_files_below_the_prefix_are_installed(
    garden: Garden, bucket: Bucket, card: str, digests: dict[str, str]
) -> None:
    assert garden.install(card).provenance().source_files == digests


def test_cut_off_download_resumes(garden: Garden, bucket: Bucket, card: str) -> None:
    whole = bucket.objects[WEIGHTS]
    bucket.cut_at = 50
    with pytest.raises(CardNotInstalled):
        garden.install(card)
    assert not garden.is_installed(card)
    bucket.cut_at = None
    bucket.ranges.clear()
    model = garden.install(card)
    assert (model.path / "model.safetensors").read_bytes() == whole
    assert (WEIGHTS, "bytes=50-") in bucket.ranges


def test_changed_object_is_not_resumed(garden: Garden, bucket: Bucket, card: str) -> None:
    bucket.cut_at = 50
    with pytest.raises(CardNotInstalled):
        garden.install(card)
    bucket.cut_at = None
    changed = bucket.objects[WEIGHTS][:-1] + b"!"
    bucket.objects[WEIGHTS] = changed
    model = garden.install(card)
    assert (model.path / "model.safetensors").read_bytes() == changed


def test_key_that_leaves_the_folder_is_refused(garden: Garden, bucket: Bucket, card: str) -> None:
    bucket.objects[PREFIX + "a//evil.json"] = b"{}"
    with pytest.raises(UnsafeArchive, match="leaves the folder"):
        garden.install(card)


@pytest.mark.parametrize(
    ("url", "told"),
    [("s3://absent/models/tiny", "NoSuchBucket"), ("s3://weights/nothing", "no safetensors files")],
)
def test_absent_bucket_or_prefix_says_so(
    garden: Garden, bucket: Bucket, make_card: MakeCard, url: str, told: str
) -> None:
    with pytest.raises(CardNotInstalled, match=told):
        garden.install(make_card({"url": url}))


def test_missing_credentials_say_so(
    garden: Garden, bucket: Bucket, card: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(CardNotInstalled, match="Unable to locate credentials"):
        garden.install(card)
