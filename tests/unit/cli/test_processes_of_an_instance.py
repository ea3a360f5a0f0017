"""Only the processes of one platform are found, and they are ended."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from bestiary.cli.platform import processes
from bestiary.cli.platform.instance import INSTANCE_VARIABLE, Instance, Ports
from bestiary.cli.platform.record import Phase, PlatformRecord, read_record, write_record
from bestiary.settings import Settings


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    made = Instance(Settings(home=tmp_path / "home"))
    made.create()
    return made


def sleeper(mark: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["/bin/sleep", "60"], env={**os.environ, INSTANCE_VARIABLE: mark})


def test_one_instance_ends_only_its_own(instance):
    mine, other = sleeper(instance.id), sleeper("another")
    try:
        found = processes.of_instance(instance)
        assert [process.pid for process in found] == [mine.pid]
        processes.end(found, grace_s=2)
        assert not psutil.pid_exists(mine.pid)  # psutil reaped it
        assert other.poll() is None
    finally:
        for process in (mine, other):
            process.kill()
            process.wait()


HOLDS_A_FILE = (
    "import sys, time; log = open(sys.argv[1], 'w'); print('open', flush=True); time.sleep(60)"
)


def retitled(log: Path) -> subprocess.Popen[bytes]:
    """As Ray's agents are: no environment left, a title for a command line, an open log."""
    process = subprocess.Popen(
        ["ray::Agent", "-c", HOLDS_A_FILE, str(log)],
        executable=sys.executable,
        env={},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"open\n"
    return process


def test_a_process_without_an_environment_is_known_by_its_files(instance, tmp_path):
    mine = retitled(instance.socket_directory / "agent.log")
    other = retitled(tmp_path / "agent.log")
    try:
        assert [process.pid for process in processes.of_instance(instance)] == [mine.pid]
    finally:
        for process in (mine, other):
            process.kill()
            process.communicate()


def test_directories_and_the_ray_token_are_private(instance):
    assert instance.settings.home.stat().st_mode & 0o77 == 0
    assert instance.ray_token_file.stat().st_mode & 0o77 == 0
    assert len(instance.ray_token_file.read_text()) == 64


def test_ports_are_distinct():
    ports = Ports.free()
    single = {ports.ray, ports.ray_client, ports.ray_agent, ports.haproxy_metrics}
    assert len(single | {ports.haproxy_stats, ports.serve_proxy}) == 6


def test_a_record_of_a_dead_supervisor_is_not_supervised(instance):
    process = sleeper("x")
    process.kill()
    process.wait()
    record = PlatformRecord(
        supervisor_pid=process.pid, url="http://127.0.0.1:1", profile="laptop", phase=Phase.READY
    )
    write_record(instance, record)
    read = read_record(instance)
    assert read == record
    assert not read.supervised
    assert record.model_copy(update={"supervisor_pid": os.getpid()}).supervised
