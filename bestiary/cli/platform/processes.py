"""Finds and ends the processes of one instance by the mark in their environment."""

from __future__ import annotations

import os

import psutil

from bestiary.cli.platform.instance import INSTANCE_VARIABLE


def of_instance(instance_id: str) -> list[psutil.Process]:
    """Every live process that carries the instance's mark, this one excepted."""
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        try:
            mark = process.environ().get(INSTANCE_VARIABLE)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
        if mark == instance_id and process.status() != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


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
