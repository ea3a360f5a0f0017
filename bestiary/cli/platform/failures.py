"""Which applications Serve could not start, why in one line, and where the whole story is.

The gateway cannot tell: to it a deployment without a replica is cold. Knows no Ray;
`serve_failures.py` asks it.
"""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bestiary.cli.platform.instance import Instance, Ports
from bestiary.cli.platform.ray_head import RayHead

ASK_TIMEOUT_S = 20.0
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_FRAME = '  File "'

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Failure:
    """`log` is None where no file was found."""

    reason: str  # one line
    log: Path | None


AskFailures = Callable[[Instance, Ports], Mapping[str, Failure]]


def ask_failures(instance: Instance, ports: Ports) -> Mapping[str, Failure]:
    """By application. Empty where Ray does not answer within ASK_TIMEOUT_S."""
    head = RayHead(instance, ports)
    try:
        asked = subprocess.run(  # noqa: S603 - our own interpreter and arguments
            [sys.executable, "-m", "bestiary.cli.platform.serve_failures", head.address],
            env=instance.environment(ports),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=ASK_TIMEOUT_S,
            check=True,
        )
    except subprocess.SubprocessError as error:
        log.warning("Serve does not tell what failed: %s", error)
        return {}
    told: dict[str, tuple[str, str]] = json.loads(asked.stdout.splitlines()[-1])
    logs = head.temporary_directory / "session_latest" / "logs" / "serve"
    reasons = {name: first_line(message) for name, (_, message) in told.items()}
    return {
        name: Failure(reason, log_of(logs, name, told[name][0], reason))
        for name, reason in reasons.items()
    }


def first_line(message: str) -> str:
    """The exception at the bottom of the traceback that Serve tells, without its module.

    The message itself where there is no traceback.
    """
    lines = _COLOURS.sub("", message).strip().splitlines()
    frames = [place for place, line in enumerate(lines) if line.startswith(_FRAME)]
    if not frames:
        return lines[-1] if lines else "Serve gives no reason"
    said = (line for line in lines[frames[-1] :] if not line.startswith(" "))
    name, colon, text = next(said, lines[-1]).partition(":")
    return f"{name.rpartition('.')[2]}{colon}{text}"


def log_of(folder: Path, application: str, deployment: str, reason: str) -> Path | None:
    """The newest log that tells the reason: the replica's, or that of Serve's controller.

    A constructor's exception is in the controller's; the replica's has what came before it.
    """
    for pattern in (f"replica_{application}_{deployment}_*.log", "controller_*.log"):
        for path in sorted(folder.glob(pattern), key=_changed, reverse=True):
            if reason in path.read_text(errors="replace"):
                return path
    return None


def _changed(path: Path) -> float:
    return path.stat().st_mtime
