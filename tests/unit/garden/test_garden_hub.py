"""`hf://` against a hub on loopback that speaks the calls huggingface_hub makes."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bestiary.errors import CardNotInstalled, ChecksumMismatch
from bestiary.garden import Garden

MakeCard = Callable[..., str]
COMMIT = "a" * 40
WEIGHTS = "model.safetensors"
LARGE = 24_000_000  # bytes; the client writes in blocks of 10 MiB, so less would not be resumed


class Hub(ThreadingHTTPServer):
    """One repository, `org/name`.

    `cut_at` ends the stream of weights after that many bytes; then the weights are gone.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.files = files
        self.cut_at: int | None = None
        self.gone = False
        self.listed_sha256: str | None = None
        self.broken = False
        self.served: list[tuple[str, str | None]] = []  # file, range

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = self.path.partition("?")[0]
        resolved = re.fullmatch(rf"/org/name/resolve/{COMMIT}/(.+)", path)
        if self.server.broken:
            self._send(500, b"")
        elif path == "/api/models/org/name/revision/main":
            self._send(200, json.dumps({"id": "org/name", "sha": COMMIT, "siblings": []}).encode())
        elif path == f"/api/models/org/name/tree/{COMMIT}":
            self._send(200, json.dumps([*map(self._listed, self.server.files)]).encode())
        elif resolved and resolved[1] in self.server.files:
            self._file(resolved[1], body=body)
        else:
            self._send(404, b"")

    def _listed(self, name: str) -> dict[str, object]:
        content = self.server.files[name]
        told = {"type": "file", "path": name, "size": len(content), "oid": _etag(content)}
        if name == WEIGHTS:
            digest = self.server.listed_sha256 or hashlib.sha256(content).hexdigest()
            told["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 130}
        return told

    def _file(self, name: str, *, body: bool) -> None:
        content = self.server.files[name]
        wanted = self.headers.get("Range")
        headers = {"ETag": f'"{_etag(content)}"', "X-Repo-Commit": COMMIT}
        if not body:
            self._send(200, content, headers, body=False)
            return
        if name == WEIGHTS and self.server.gone:
            self._send(404, b"")
            return
        self.server.served.append((name, wanted))
        start = int(re.sub(r"\D", "", wanted.partition("=")[2])) if wanted else 0
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        cut = self.server.cut_at if name == WEIGHTS else None
        self._send(206 if start else 200, content[start:], headers, cut=cut)

    def _send(
        self,
        status: int,
        content: bytes,
        headers: dict[str, str] | None = None,
        *,
        body: bool = True,
        cut: int | None = None,
    ) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(content[:cut])
        if cut is not None:
            self.server.gone = self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the test's stderr."""


def _etag(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


@pytest.fixture
def hub(model_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    server = Hub({**model_files, "pytorch_model.bin": b"pickle", "modeling.py": b"evil"})
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def card(make_card: MakeCard) -> str:
    return make_card({"url": "hf://org/name@main"})


def test_data_files_are_installed_and_nothing_that_runs(
    garden: Garden, hub: Hub, card: str, digests: dict[str, str]
) -> None:
    model = garden.install(card)
    written = model.provenance()
    assert written.source_files == digests
    assert written.source_revision == COMMIT
    assert {name for name, _ in hub.served} == set(digests)


def test_cut_off_download_resumes(garden: Garden, hub: Hub, card: str) -> None:
    hub.files[WEIGHTS] = large = _weights(LARGE)
    hub.cut_at = LARGE - 1
    with pytest.raises(CardNotInstalled):
        garden.install(card)
    assert not garden.is_installed(card)
    hub.cut_at, hub.gone = None, False
    hub.served.clear()
    model = garden.install(card)
    assert (model.path / WEIGHTS).read_bytes() == large
    assert [asked for name, asked in hub.served if name == WEIGHTS] == ["bytes=20971520-"]


def test_hub_that_breaks_does_not_pass_a_half_folder_off_as_whole(
    garden: Garden, hub: Hub, card: str
) -> None:
    hub.files[WEIGHTS] = _weights(LARGE)
    hub.cut_at = LARGE - 1
    with pytest.raises(CardNotInstalled):
        garden.install(card)
    hub.broken = True
    with pytest.raises(CardNotInstalled):
        garden.install(card)
    assert not garden.is_installed(card)


def test_pinned_file_that_differs_is_refused(
    garden: Garden, hub: Hub, make_card: MakeCard, digests: dict[str, str]
) -> None:
    hub.files["tokenizer.json"] = b"[]"
    card = make_card({"url": "hf://org/name@main", "files": digests})
    with pytest.raises(ChecksumMismatch, match=r"tokenizer\.json"):
        garden.install(card)


def test_weights_that_the_hub_itself_lists_otherwise_are_refused(
    garden: Garden, hub: Hub, card: str
) -> None:
    hub.listed_sha256 = "0" * 64
    with pytest.raises(ChecksumMismatch, match="not what the hub lists"):
        garden.install(card)
    assert not garden.is_installed(card)


def test_unknown_repository_says_so(garden: Garden, hub: Hub, make_card: MakeCard) -> None:
    with pytest.raises(CardNotInstalled, match="404"):
        garden.install(make_card({"url": "hf://org/other@main"}))


def test_closed_port_fails_in_two_seconds(
    garden: Garden, card: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    started = time.monotonic()
    with pytest.raises(CardNotInstalled, match="cannot connect"):
        garden.install(card)
    assert time.monotonic() - started < 2.5


def test_hub_that_drops_packets_fails_in_two_seconds(
    garden: Garden, card: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        # A full accept queue answers no SYN, like a firewall that drops.
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
        started = time.monotonic()
        with pytest.raises(CardNotInstalled, match=r"no answer|timed out"):
            garden.install(card)
        assert time.monotonic() - started < 3
        for one in waiting:
            one.close()


def test_proxy_is_probed_instead_of_the_hub(
    garden: Garden, card: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("NO_PROXY", "")
    with pytest.raises(CardNotInstalled, match=f"cannot connect to 127.0.0.1:{port}"):
        garden.install(card)


def _weights(size: int) -> bytes:
    """A safetensors file with one tensor of `size` bytes."""
    shape = {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}
    header = json.dumps({"w": shape}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(size)
