"""Killed, raced and starved installs: a torso is never served, and the next install works."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bestiary.errors import CardNotInstalled, GardenError
from bestiary.garden import Garden
from bestiary.garden.store import Store

MakeCard = Callable[..., str]
DEADLINE_S = 60

# Installs `tiny`. Its progress says each step on stdout and, in the step named by argv[2],
# waits for a line on stdin: the parent kills it there, at a known point.
INSTALLER = """
import sys
from contextlib import contextmanager
from pathlib import Path
from bestiary.garden import Garden

class Told:
    @contextmanager
    def step(self, title, total=None, unit=""):
        print(title, flush=True)
        yield self
        if title.startswith(sys.argv[2]):
            sys.stdin.readline()

    def advance(self, amount=1):
        pass

print("installed", Garden(Path(sys.argv[1])).install("tiny", Told()).revision, flush=True)
"""


def installer(home: Path, stop_at: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", INSTALLER, str(home), stop_at],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate(timeout=DEADLINE_S)


def models(home: Path) -> list[Path]:
    return [path for path in (home / "models" / "tiny").glob("*") if path.is_dir()]


@pytest.mark.parametrize("stop_at", ["checking", "converting"])
def test_killed_install_is_not_served_and_the_next_one_works(
    home: Path, garden: Garden, make_card: MakeCard, tiny_gguf: Path, stop_at: str
) -> None:
    make_card({"url": tiny_gguf.as_uri(), "format": "gguf"})
    process = installer(home, stop_at)
    while not said(process).startswith(stop_at):
        pass
    kill(process)
    assert list((home / "staging" / "tiny").iterdir())  # it was in the middle
    assert not garden.is_installed("tiny")
    with pytest.raises(CardNotInstalled):
        garden.installed("tiny")
    garden.install("tiny")
    garden.verify("tiny")
    assert list((home / "staging").iterdir()) == []


def test_kill_between_folder_and_pointer_is_put_right(
    home: Path, garden: Garden, make_card: MakeCard, model_folder: Path
) -> None:
    first = garden.install(make_card({"url": model_folder.as_uri()}))
    (home / "models" / "tiny" / "current").unlink()
    (first.path / "tokenizer.json").write_bytes(b"torn")
    assert not garden.is_installed("tiny")
    assert garden.install("tiny").revision == first.revision
    garden.verify("tiny")


def test_two_processes_install_once(
    home: Path, make_card: MakeCard, tiny_gguf: Path, garden: Garden
) -> None:
    make_card({"url": tiny_gguf.as_uri(), "format": "gguf"})
    processes = [installer(home, "nothing") for _ in range(2)]
    told = [process.communicate(timeout=DEADLINE_S)[0].splitlines() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert told[0][-1] == told[1][-1]
    assert told[0][-1].startswith("installed ")
    assert sorted(len(lines) for lines in told) == [1, 3]  # one worked, one found it done
    assert len(models(home)) == 1
    garden.verify("tiny")


def test_lock_has_a_deadline(tmp_path: Path) -> None:
    with (
        Store(tmp_path).locked("tiny"),
        pytest.raises(GardenError, match="locked by another install"),
        Store(tmp_path, lock_deadline_s=0.1).locked("tiny"),
    ):
        pass


def test_full_disk_says_how_much_is_needed_and_leaves_nothing(
    home: Path, make_card: MakeCard, tiny_gguf: Path, garden: Garden
) -> None:
    make_card({"url": tiny_gguf.as_uri(), "format": "gguf"})
    limited = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000));"
        "import sys; from pathlib import Path; from bestiary.errors import GardenError;"
        "from bestiary.garden import Garden\n"
        "try: Garden(Path(sys.argv[1])).install('tiny')\n"
        "except GardenError as error: print(error.code, error)"
    )
    told = subprocess.run(
        [sys.executable, "-c", limited, str(home)],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    ).stdout
    assert told.startswith("garden_error no room for the converted tiny.gguf: about ")
    assert "set BESTIARY_HOME to another disk (File too large)" in told
    assert not (home / "models").exists()
    assert list((home / "staging").iterdir()) == []
    garden.install("tiny")


def test_download_that_cannot_fit_is_refused_before_it_starts(
    garden: Garden, home: Path, make_card: MakeCard, model_folder: Path
) -> None:
    card = make_card({"url": model_folder.as_uri(), "size_mb": 1e9})
    with pytest.raises(GardenError, match="about 1000000000 MB are needed"):
        garden.install(card)
    assert not (home / "staging").exists()


def test_home_that_cannot_be_written_is_an_os_error(
    tmp_path: Path, make_card: MakeCard, model_folder: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        Garden(tmp_path / "file").install("smollm2-135m-instruct")
