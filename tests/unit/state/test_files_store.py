"""Files: their bytes on a disk, their facts in both databases."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time

import pytest
from state_values import PLAN, spec

from bestiary.errors import Conflict, InvalidRequest, NotFound, Unavailable
from bestiary.schemas.tuning import DataFormat, DataReport, Problem
from bestiary.state.database import Database
from bestiary.state.files import ABANDONED_AFTER_S, FilePurpose, Files, FileStatus
from bestiary.state.tuning_jobs import TuningJobs

REPORT = DataReport(format=DataFormat.CHAT, examples=3, characters=100, labels={"a": 1})
PROBLEM = Problem(line=2, reason="no JSON")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "blobs" / "files"


@pytest.fixture
def files(database, folder):
    return Files(database, folder)


def upload(files, data=b"hello", *, name="a.jsonl", purpose=FilePurpose.FINE_TUNE):
    with files.receive(name, purpose) as receiving:
        receiving.write(data)
        return receiving.finish()


def age(path):
    then = time.time() - ABANDONED_AFTER_S - 1
    os.utime(path, (then, then))


def test_a_file_is_kept_byte_for_byte(files):
    chunks = [b"", os.urandom(100_000), b"\0\n", os.urandom(7)]
    with files.receive("../../etc/päss wd.jsonl", FilePurpose.BATCH) as receiving:
        for chunk in chunks:
            receiving.write(chunk)
        stored = receiving.finish()

    data = b"".join(chunks)
    assert files.path(stored.id).read_bytes() == data
    assert stored == files.get(stored.id)
    assert (stored.bytes, stored.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert (stored.filename, stored.purpose) == ("../../etc/päss wd.jsonl", FilePurpose.BATCH)
    assert (stored.status, stored.report, stored.problems) == (FileStatus.UPLOADED, None, ())


def test_an_upload_that_breaks_off_leaves_nothing(files, folder):
    def breaks_off():
        with files.receive("a", FilePurpose.VISION) as receiving:
            receiving.write(b"half")
            raise RuntimeError("the client went away")

    with pytest.raises(RuntimeError):
        breaks_off()
    with files.receive("b", FilePurpose.VISION) as receiving:
        receiving.write(b"whole, and not finished")

    assert files.list().data == ()
    assert list(folder.iterdir()) == []


def test_a_file_is_not_seen_before_it_is_finished(files):
    with files.receive("a", FilePurpose.FINE_TUNE) as receiving:
        receiving.write(b"data")
        assert files.list().data == ()
        stored = receiving.finish()
    assert files.list().data == (stored,)


@pytest.mark.parametrize("name", ["", "x" * 256, "a\0b", "\ud800"])
def test_a_name_that_no_database_holds_is_refused(files, name):
    with pytest.raises(InvalidRequest):
        files.receive(name, FilePurpose.FINE_TUNE)


def test_pages_go_both_ways_and_keep_to_a_purpose(files):
    made = [upload(files, purpose=purpose).id for purpose in ("batch", "fine-tune") * 3]

    def ids(**asked):
        page = files.list(**asked)
        return [file.id for file in page.data], page.has_more

    assert ids() == (made[::-1], False)
    assert ids(limit=4) == (made[:1:-1], True)
    assert ids(limit=2, after=made[2]) == ([made[1], made[0]], False)
    assert ids(limit=2, after=made[2], newest_first=False) == ([made[3], made[4]], True)
    assert ids(purpose=FilePurpose.BATCH, newest_first=False) == (made[::2], False)


@pytest.mark.parametrize("id", ["file-none", "", "a\0b", "\ud800", "../secret", "/etc/passwd"])
def test_a_file_that_is_not_there_is_not_found(files, id):
    calls = (
        files.get,
        files.path,
        files.delete,
        lambda id: files.list(after=id),
        lambda id: files.checked(id, None, ()),
    )
    for call in calls:
        with pytest.raises(NotFound):
            call(id)


@pytest.mark.parametrize(
    ("report", "problems", "status"),
    [
        (REPORT, (), FileStatus.PROCESSED),
        (None, (), FileStatus.PROCESSED),
        (None, (PROBLEM,), FileStatus.ERROR),
        (REPORT, (PROBLEM,), FileStatus.ERROR),
    ],
)
def test_what_a_check_found_is_kept(files, report, problems, status):
    stored = upload(files)

    checked = files.checked(stored.id, report, problems)

    assert checked == files.get(stored.id)
    assert (checked.status, checked.report, checked.problems) == (status, report, problems)


def test_a_deleted_file_is_gone(files, folder):
    stored = upload(files)

    files.delete(stored.id)

    assert list(folder.iterdir()) == []
    with pytest.raises(NotFound):
        files.get(stored.id)


@pytest.mark.parametrize("role", ["training_file", "validation_file"])
def test_a_file_is_not_deleted_under_a_job(files, database, role):
    stored = upload(files)
    jobs = TuningJobs(database)
    job = jobs.create(spec(**{role: stored.id}), PLAN)

    for move in (jobs.claim, lambda _: jobs.pause(job.id)):
        with pytest.raises(Conflict, match=job.id):
            files.delete(stored.id)
        move(1)
    jobs.cancel(job.id)
    files.delete(stored.id)

    assert files.list().data == ()


def test_a_file_whose_bytes_are_gone_says_so(files):
    stored = upload(files)
    files.path(stored.id).unlink()

    with pytest.raises(NotFound, match="gone"):
        files.path(stored.id)


def test_sweeping_removes_only_what_is_old_and_nobody_s(files, folder):
    kept = upload(files)
    age(files.path(kept.id))
    for name in ("file-old", "file-old2.partial", "file-new", "file-new2.partial", "README"):
        (folder / name).write_bytes(b"x")
    for name in ("file-old", "file-old2.partial", "README"):
        age(folder / name)

    files.sweep()

    left = {path.name for path in folder.iterdir()}
    assert left == {kept.id, "file-new", "file-new2.partial", "README"}


def test_sweeping_before_the_first_upload_is_nothing(files):
    files.sweep()


UPLOADER = """
import sys, time
from pathlib import Path
from bestiary.state.database import Database
from bestiary.state.files import FilePurpose, Files
files = Files(Database(sys.argv[1]), Path(sys.argv[2]))
with files.receive("a.jsonl", FilePurpose.FINE_TUNE) as receiving:
    receiving.write(b"half of it")
    print("written", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_upload_whose_process_is_killed_is_no_file(files, folder, database_url):
    kept = upload(files)
    uploader = subprocess.Popen(
        [sys.executable, "-c", UPLOADER, database_url, str(folder)], stdout=subprocess.PIPE
    )
    with uploader:
        assert uploader.stdout.readline() == b"written\n"
        uploader.send_signal(signal.SIGKILL)

    assert uploader.returncode == -signal.SIGKILL
    assert files.list().data == (kept,)
    [partial] = folder.glob("*.partial")
    files.sweep()
    assert partial.exists()  # it could be an upload that still runs
    age(partial)
    files.sweep()
    assert list(folder.iterdir()) == [files.path(kept.id)]


# A limit on a file's size is a full disk that needs no disk: the write ends half-way.
FILLER = """
import resource, sys
from pathlib import Path
from bestiary.errors import Unavailable
from bestiary.state.database import Database
from bestiary.state.files import FilePurpose, Files
database = Database(sys.argv[1])
files = Files(database, Path(sys.argv[2]))
files.list()  # whatever the database writes to open, it has written
resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))
try:
    with files.receive("a.jsonl", FilePurpose.FINE_TUNE) as receiving:
        for _ in range(3):
            receiving.write(b"x" * 100_000)
except Unavailable as error:
    print(error.retry_after_s, error, "|", error.__cause__)
print(files.list().data)
"""


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_upload_onto_a_full_disk_is_refused_typed_and_leaves_nothing(
    files, folder, database_url
):
    command = [sys.executable, "-c", FILLER, database_url, str(folder)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout

    assert told.startswith("60.0 the platform's disk is full")
    public, cause = told.splitlines()[0].split("|")
    assert str(folder) in cause
    assert str(folder) not in public
    assert told.splitlines()[1] == "()"
    assert list(folder.iterdir()) == []


def test_a_database_that_does_not_answer_keeps_no_row(database, tmp_path):
    missing = Database(f"sqlite:///{tmp_path / 'no' / 'state.db'}")
    files = Files(missing, tmp_path / "files")
    with pytest.raises(Unavailable):
        upload(files)
    [orphan] = (tmp_path / "files").iterdir()
    missing.close()

    age(orphan)
    Files(database, tmp_path / "files").sweep()

    assert not orphan.exists()
