"""What the supervisor tells other processes: one small file, written atomically."""

from __future__ import annotations

import json
import os
import time
from enum import StrEnum
from pathlib import Path

import psutil
from pydantic import Field

from bestiary.cli.platform.instance import Instance, Ports
from bestiary.schemas.base import Frozen


class Phase(StrEnum):
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    FAILED = "failed"
    STOPPING = "stopping"


class PlatformRecord(Frozen):
    """`reason` says why the platform is not ready, or why it last restarted."""

    supervisor_pid: int
    url: str
    profile: str
    phase: Phase
    reason: str = ""
    since: float = Field(default_factory=time.time)  # Unix time of the last change
    restarts: int = 0
    ports: dict[str, int] = {}

    @property
    def supervised(self) -> bool:
        """Whether the supervisor that wrote this still runs."""
        try:
            process = psutil.Process(self.supervisor_pid)
            dead = process.status() == psutil.STATUS_ZOMBIE
            return not dead and float(process.create_time()) <= self.since
        except psutil.NoSuchProcess:
            return False

    @property
    def known_ports(self) -> Ports:
        return Ports(**self.ports)


def _path(instance: Instance) -> Path:
    return instance.run_directory / "platform.json"


def read_record(instance: Instance) -> PlatformRecord | None:
    """None where no platform was started, or where it was stopped."""
    try:
        return PlatformRecord.model_validate(json.loads(_path(instance).read_text()))
    except FileNotFoundError:
        return None


def write_record(instance: Instance, record: PlatformRecord) -> None:
    temporary = _path(instance).with_suffix(f".{os.getpid()}")
    temporary.write_text(record.model_dump_json())
    temporary.replace(_path(instance))


def remove_record(instance: Instance) -> None:
    _path(instance).unlink(missing_ok=True)
