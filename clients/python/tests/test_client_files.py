"""Files: what is sent of paths, bytes, folders and pipes, and what comes back."""

from __future__ import annotations

import inspect
import io
import os
import threading
import zipfile
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest
from scripted_server import Reply, ScriptedServer, refusal
from tuning_replies import CREATED, FILE_ID, file_body, page

from bestiary_client import (
    AsyncBestiary,
    AsyncFiles,
    BadRequest,
    Bestiary,
    ConnectionFailed,
    Files,
    LengthBin,
    StreamBroken,
    Unavailable,
)

LINES = b'{"prompt": "a", "completion": "b"}\n' * 10_000


@pytest.fixture
def client(server: ScriptedServer) -> Iterator[Bestiary]:
    with Bestiary(base_url=server.url) as connected:
        yield connected


def sent(server: ScriptedServer) -> tuple[str, bytes]:
    """Name and bytes of the form's file; the purpose has to come first."""
    head, _, rest = server.got[-1].raw.partition(b'name="file"')
    assert b'name="purpose"\r\n\r\nfine-tune\r\n' in head
    told, _, body = rest.partition(b"\r\n\r\n")
    name = told.partition(b'filename="')[2].partition(b'"')[0]
    return name.decode(), body.rpartition(b"\r\n--")[0]


def test_a_path_is_sent_as_it_is_read(
    server: ScriptedServer, client: Bestiary, tmp_path: Path
) -> None:
    server.will(Reply(body=file_body()))
    path = tmp_path / "tickets.jsonl"
    path.write_bytes(LINES)
    told: list[tuple[int, int | None]] = []
    file = client.files.upload(path, on_progress=lambda done, total: told.append((done, total)))

    assert sent(server) == ("tickets.jsonl", LINES)
    assert int(server.got[0].headers["content-length"]) > len(LINES)
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert len(told) == -(-len(LINES) // 65536)
    assert told[-1] == (len(LINES), len(LINES))
    assert (file.id, file.bytes, file.status) == (FILE_ID, 4096, "processed")
    assert file.created_at == datetime.fromtimestamp(CREATED, timezone.utc)
    assert file.report is not None
    assert (file.report.examples, file.report.tokens, file.report.overlap) == (40, 1200, None)
    assert file.report.lengths == (LengthBin(32, 30), LengthBin(64, 10))


def test_bytes_and_open_files_are_sent_whole(
    server: ScriptedServer, client: Bestiary, tmp_path: Path
) -> None:
    server.will(Reply(body=file_body()))
    client.files.upload(LINES)
    assert sent(server) == ("data.jsonl", LINES)
    client.files.upload(io.BytesIO(LINES), filename="mine.jsonl")
    assert sent(server) == ("mine.jsonl", LINES)
    (tmp_path / "a.csv").write_bytes(b"text,label\n")
    with (tmp_path / "a.csv").open("rb") as opened:
        client.files.upload(opened)
        assert not opened.closed
    assert sent(server) == ("a.csv", b"text,label\n")


def test_a_pipe_is_sent_though_nobody_knows_its_length(
    server: ScriptedServer, client: Bestiary
) -> None:
    server.will(Reply(body=file_body()))
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as out:
            out.write(LINES)

    writer = threading.Thread(target=write)
    writer.start()
    told: list[int | None] = []
    with os.fdopen(reading, "rb") as pipe:
        client.files.upload(pipe, on_progress=lambda _, total: told.append(total))
    writer.join()
    assert sent(server) == ("data.jsonl", LINES)
    assert set(told) == {None}


def test_a_folder_is_sent_as_a_zip(
    server: ScriptedServer, client: Bestiary, tmp_path: Path
) -> None:
    server.will(Reply(body=file_body()))
    folder = tmp_path / "emoji"
    (folder / "faces").mkdir(parents=True)
    (folder / "faces" / "a.png").write_bytes(b"picture")
    (folder / "metadata.jsonl").write_text("{}")
    client.files.upload(folder)
    name, body = sent(server)
    assert name == "emoji.zip"
    with zipfile.ZipFile(io.BytesIO(body)) as packed:
        assert packed.namelist() == ["faces/a.png", "metadata.jsonl"]
        assert packed.read("faces/a.png") == b"picture"


def test_an_upload_is_never_sent_twice(server: ScriptedServer, client: Bestiary) -> None:
    server.will(refusal(503, "unavailable"), Reply(body=file_body()))
    with pytest.raises(Unavailable):
        client.files.upload(b"{}")
    server.will(Reply(cut=True), Reply(body=file_body()))
    with pytest.raises((ConnectionFailed, StreamBroken)):
        client.files.upload(b"{}")
    assert len(server.got) == 2


def test_bad_lines_are_told_by_the_platform(server: ScriptedServer, client: Bestiary) -> None:
    server.will(refusal(400, "invalid_request", param="file"))
    with pytest.raises(BadRequest) as caught:
        client.files.upload(b"broken")
    assert caught.value.param == "file"


def test_a_path_that_is_not_there_is_an_error_of_the_disk(client: Bestiary) -> None:
    with pytest.raises(FileNotFoundError):
        client.files.upload("nowhere.jsonl")


def test_files_are_listed_read_and_deleted(server: ScriptedServer, client: Bestiary) -> None:
    server.will(
        page(file_body(), has_more=True),
        page(file_body(id="file-2", bestiary=None, purpose="batch")),
        Reply(body=b"\x00raw"),
        Reply(body={"id": FILE_ID, "object": "file", "deleted": True}),
    )
    first, second = client.files.list(purpose="fine-tune")
    assert (first.report is not None, second.report, second.purpose) == (True, None, "batch")
    assert client.files.content(first) == b"\x00raw"
    client.files.delete(FILE_ID)
    assert [f"{one.method} {one.path}" for one in server.got] == [
        "GET /v1/files?purpose=fine-tune",
        f"GET /v1/files?purpose=fine-tune&after={FILE_ID}",
        f"GET /v1/files/{FILE_ID}/content",
        f"DELETE /v1/files/{FILE_ID}",
    ]


def test_a_download_is_there_when_it_is_whole(
    server: ScriptedServer, client: Bestiary, tmp_path: Path
) -> None:
    server.will(Reply(body=LINES))
    told: list[tuple[int, int | None]] = []
    target = client.files.download(
        FILE_ID, tmp_path / "a.jsonl", on_progress=lambda *news: told.append(news)
    )
    assert target.read_bytes() == LINES
    assert told[-1] == (len(LINES), len(LINES))

    server.will(Reply(frames=("half",), headers={"content-length": "1000"}))
    with pytest.raises(StreamBroken):
        client.files.download(FILE_ID, tmp_path / "b.jsonl")
    assert [one.name for one in tmp_path.iterdir()] == ["a.jsonl"]


async def test_the_async_twin_does_the_same(server: ScriptedServer, tmp_path: Path) -> None:
    async with AsyncBestiary(base_url=server.url) as client:
        server.will(Reply(body=file_body()))
        assert (await client.files.upload(LINES)).id == FILE_ID
        assert sent(server) == ("data.jsonl", LINES)
        server.will(page(file_body()))
        assert [one.id async for one in client.files.list()] == [FILE_ID]
        server.will(Reply(body=LINES))
        assert await client.files.content(FILE_ID) == LINES
        target = await client.files.download(FILE_ID, tmp_path / "a.jsonl")
        assert target.read_bytes() == LINES
        server.will(Reply(body=file_body()))
        assert (await client.files.get(FILE_ID)).filename == "tickets.jsonl"
        await client.files.delete(FILE_ID)


def test_both_twins_have_the_same_methods_with_the_same_words() -> None:
    def public(kind: type) -> dict[str, tuple[str, ...]]:
        return {
            name: tuple(inspect.signature(function).parameters)
            for name, function in vars(kind).items()
            if name[0] != "_"
        }

    assert public(Files) == public(AsyncFiles)
