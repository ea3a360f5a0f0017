"""Files in OpenAI's API: kept, checked, listed, read back, deleted."""

from __future__ import annotations

import pytest
from tuning_fakes import CHATS, MAX_FILE_MB, jsonl, tuning_door

CHAT_FILE = jsonl(CHATS)
BOUNDARY = "b"
FORM = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}


@pytest.fixture
def door(tmp_path, installed_home):
    with tuning_door(tmp_path, installed_home) as door:
        yield door


@pytest.fixture(scope="module")
def refusing(tmp_path_factory, installed_home):
    """For requests that change nothing; with the folder of its files."""
    folder = tmp_path_factory.mktemp("refusing")
    with tuning_door(folder, installed_home) as door:
        yield door, folder / "files"


def form(*parts: tuple[str, bytes]) -> bytes:
    """Each part is what comes after its `name=`, and its content."""
    written = [
        b"--b\r\nContent-Disposition: form-data; name=%s\r\n\r\n%s\r\n" % (name.encode(), content)
        for name, content in parts
    ]
    return b"".join(written) + b"--b--\r\n"


def kept(door) -> list[str]:
    return [file["id"] for file in door.client.get("/v1/files").json()["data"]]


def test_a_training_file_is_kept_with_a_report_of_what_is_in_it(door):
    file = door.upload(CHAT_FILE)

    assert file["id"].startswith("file-")
    assert file["object"] == "file"
    assert (file["bytes"], file["filename"]) == (len(CHAT_FILE), "train.jsonl")
    assert (file["purpose"], file["status"]) == ("fine-tune", "processed")
    report = file["bestiary"]
    assert (report["format"], report["examples"], report["duplicates"]) == ("chat", 24, 0)
    assert sum(one["examples"] for one in report["lengths"]) == 24


def test_a_file_is_read_back_as_it_came(door):
    file = door.upload(CHAT_FILE)

    content = door.client.get(f"/v1/files/{file['id']}/content")

    assert content.content == CHAT_FILE
    assert content.headers["content-disposition"] == 'attachment; filename="train.jsonl"'
    assert content.headers["x-content-type-options"] == "nosniff"
    assert door.client.get(f"/v1/files/{file['id']}").json() == file


def test_lines_that_cannot_be_trained_on_are_told_and_nothing_is_kept(door, tmp_path):
    bad = CHAT_FILE + b'{"messages": "hello"}\nnot json\n'

    response = door.client.post(
        "/v1/files", data={"purpose": "fine-tune"}, files={"file": ("bad.jsonl", bad)}
    )

    error = response.json()["error"]
    assert response.status_code == 400
    assert error["param"] == "file"
    assert "line 25: " in error["message"]
    assert "line 26: " in error["message"]
    assert kept(door) == []
    assert list((tmp_path / "files").iterdir()) == []


def test_the_purpose_may_come_after_the_bytes(door):
    body = form(('"file"; filename="a.jsonl"', CHAT_FILE), ('"purpose"', b"fine-tune"))

    response = door.client.post("/v1/files", content=body, headers=FORM)

    assert response.status_code == 200, response.text
    assert response.json()["purpose"] == "fine-tune"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (form(('"purpose"', b"fine-tune")), "file"),
        (form(('"file"; filename="a"', b"x")), "purpose"),
        (form(('"file"; filename="a"', b"x"), ('"purpose"', b"fun")), "purpose"),
        (form(('"file"; filename="a"', b"x"), ('"purpose"', b"batch_output")), "purpose"),
        (form(('"purpose"', b"batch"), ('"file"', b"x")), "file"),
        (form(('"purpose"', b"batch"), ('"other"; filename="a"', b"x")), "other"),
        (form(('"purpose"', b"batch"), ('"file"; filename=""', b"x")), "file"),
        (form(('"purpose"', b"b" * 100_000), ('"file"; filename="a"', b"x")), "purpose"),
        (
            form(
                ('"purpose"', b"batch"),
                ('"expires_after[anchor]"', b"created_at"),
                ('"file"; filename="a"', b"x"),
            ),
            "expires_after[anchor]",
        ),
        (form(*[('"purpose"', b"batch")] * 17), None),
        (form(('"file"; filename="a"', b"x"))[:-7], None),
        (b"nonsense", None),
        (b"", None),
    ],
)
def test_a_bad_form_is_400_and_nothing_is_kept(refusing, body, param):
    door, folder = refusing

    response = door.client.post("/v1/files", content=body, headers=FORM)

    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"] == param
    assert list(folder.glob("*")) == []


def test_json_is_no_upload(door):
    response = door.client.post("/v1/files", json={"purpose": "batch"})

    assert response.status_code == 400
    assert "multipart/form-data" in response.json()["error"]["message"]


def test_a_file_over_the_limit_is_413_and_nothing_is_kept(door, tmp_path):
    big = b"x" * int((MAX_FILE_MB + 0.2) * 2**20)

    announced = door.client.post("/v1/files", data={"purpose": "batch"}, files={"file": big})
    pieces = iter([form(('"purpose"', b"batch"), ('"file"; filename="a"', big))])
    chunked = door.client.post("/v1/files", content=pieces, headers=FORM)

    assert [announced.status_code, chunked.status_code] == [413, 413]
    assert list(tmp_path.glob("files/*")) == []


def test_a_file_may_be_larger_than_other_bodies(door):
    large = b"x" * int(0.9 * MAX_FILE_MB * 2**20)  # others end at a quarter of it

    assert door.upload(large, "a.bin", "user_data")["bytes"] == len(large)


def test_a_file_of_another_purpose_is_taken_as_it_is(door):
    file = door.upload(b"\x00\x01", "anything.bin", "user_data")

    assert file["status"] == "processed"
    assert "bestiary" not in file


@pytest.mark.parametrize(
    ("given", "name"),
    [("../../etc/passwd", "passwd"), ("C:\\data\\a.txt", "a.txt"), ("a\nb.txt", "ab.txt")],
)
def test_a_name_has_no_folders_and_no_control_characters(door, given, name):
    body = form((f'"file"; filename="{given}"', b"x"), ('"purpose"', b"user_data"))
    body = body.replace(b"a\nb", b"a\x01b")

    response = door.client.post("/v1/files", content=body, headers=FORM)

    assert response.json()["filename"] == name


def test_files_are_listed_page_by_page_newest_first(door):
    ids = [door.upload(b"x", f"{n}.bin", "user_data")["id"] for n in range(3)]

    first = door.client.get("/v1/files?limit=2").json()
    second = door.client.get(f"/v1/files?limit=2&after={first['last_id']}").json()

    assert (first["object"], first["has_more"], second["has_more"]) == ("list", True, False)
    assert [file["id"] for file in first["data"] + second["data"]] == ids[::-1]
    assert (first["first_id"], first["last_id"]) == (ids[2], ids[1])


def test_files_are_listed_by_purpose_and_in_either_order(door):
    training = door.upload(CHAT_FILE)["id"]
    others = [door.upload(b"x", f"{n}.bin", "user_data")["id"] for n in range(2)]

    of_purpose = door.client.get("/v1/files?purpose=user_data&order=asc").json()

    assert [file["id"] for file in of_purpose["data"]] == others
    assert training not in others


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("limit=10001", "limit"),
        ("order=up", "order"),
        ("purpose=fun", "purpose"),
    ],
)
def test_a_bad_query_is_400(refusing, query, param):
    response = refusing[0].client.get(f"/v1/files?{query}")

    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


def test_an_empty_list_has_no_ends(door):
    assert door.client.get("/v1/files").json() == {
        "object": "list",
        "data": [],
        "has_more": False,
        "first_id": None,
        "last_id": None,
    }


def test_a_deleted_file_is_gone(door, tmp_path):
    file = door.upload(b"x", "a.bin", "user_data")["id"]

    deleted = door.client.delete(f"/v1/files/{file}")

    assert deleted.json() == {"id": file, "object": "file", "deleted": True}
    assert list((tmp_path / "files").iterdir()) == []
    for response in (
        door.client.get(f"/v1/files/{file}"),
        door.client.get(f"/v1/files/{file}/content"),
        door.client.delete(f"/v1/files/{file}"),
        door.client.get(f"/v1/files?after={file}"),
    ):
        assert response.status_code == 404
        assert response.json()["error"]["code"] == "not_found"


def test_a_file_that_a_job_needs_is_not_deleted(door):
    job = door.train()

    response = door.client.delete(f"/v1/files/{job['training_file']}")

    assert response.status_code == 409
    assert job["id"] in response.json()["error"]["message"]
