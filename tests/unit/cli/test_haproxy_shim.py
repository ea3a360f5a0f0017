"""Serve's HAProxy configuration as the shim leaves it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from bestiary.cli.platform import haproxy_shim
from bestiary.cli.platform.haproxy_shim import narrowed

CONFIGURATION = """\
frontend prometheus
    bind :9101
frontend http_frontend
    bind *:8000
listen stats
  bind *:8404
"""


def test_every_wildcard_bind_becomes_loopback():
    binds = [line.split()[1] for line in narrowed(CONFIGURATION).splitlines() if "bind" in line]
    assert binds == ["127.0.0.1:9101", "127.0.0.1:8000", "127.0.0.1:8404"]


def test_an_opened_gateway_stays_open():
    assert "bind *:8000" in narrowed(CONFIGURATION, public_port="8000")
    assert "bind *:8404" not in narrowed(CONFIGURATION, public_port="8000")


@pytest.mark.parametrize(
    "bind", ["bind 127.0.0.1:8000", "bind unix@/tmp/x.sock", "bind 10.0.0.1:1"]
)
def test_other_binds_are_left_alone(bind):
    assert narrowed(f"    {bind}\n") == f"    {bind}\n"


def test_the_program_ends_with_its_parent():
    shim = Path(haproxy_shim.__file__)
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import subprocess, sys, time\n"
            "child = subprocess.Popen(sys.argv[1:])\n"
            "print(child.pid, flush=True)\n"
            "time.sleep(60)",
            *(sys.executable, "-I", "-S", str(shim), "/bin/sleep", "60"),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    deadline = time.monotonic() + 20
    while child.name() != "sleep":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    gone, _ = psutil.wait_procs([child], timeout=20)
    assert gone or child.status() == psutil.STATUS_ZOMBIE
