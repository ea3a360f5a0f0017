"""Finds and ends the processes of one instance, orphans included.

A process is known by the mark in its environment. Some of Ray's overwrite theirs
with a title (`ray::DashboardAgent`); those are known by the files that they hold
open under the instance's own directory of sockets and logs.
"""

from __future__ import annotations

import os
from pathlib import Path

import psutil

from bestiary.cli.platform.instance import INSTANCE_VARIABLE, Instance

RETITLED = "ray::"  # what a process that wrote over its environment is called


def of_instance(instance: Instance) -> list[psutil.Process]:
    """Every live process of the instance, this one excepted."""
    return [
        process
        for process in psutil.process_iter()
        if process.pid != os.getpid() and _belongs(process, instance)
    ]


def _belongs(process: psutil.Process, instance: Instance) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        mark: str | None = process.environ().get(INSTANCE_VARIABLE)
        if mark is not None:
            return mark == instance.id
        return _is_retitled(process) and _holds_files_under(process, instance.socket_directory)
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return False


def _is_retitled(process: psutil.Process) -> bool:
    return any(word.startswith(RETITLED) for word in process.cmdline()[:1])


def _holds_files_under(process: psutil.Process, directory: Path) -> bool:
    return any(directory in Path(file.path).parents for file in process.open_files())


def end(processes: list[psutil.Process], grace_s: float) -> None:
    """SIGTERM, `grace_s` seconds, then SIGKILL to what is left; returns when all are gone."""
    for process in processes:
        _quietly(process.terminate)
    _, alive = psutil.wait_procs(processes, timeout=grace_s)
    for process in alive:
        _quietly(process.kill)
    psutil.wait_procs(alive, timeout=10)


def _quietly(signal_it: object) -> None:
    assert callable(signal_it)
    try:
        signal_it()
    except psutil.NoSuchProcess:
        return
