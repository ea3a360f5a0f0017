"""Keeps one platform running on this machine until told to stop.

Serve restarts its own replicas, proxies and controller. What it cannot survive is
the loss of Ray's node (raylet, GCS) or a gateway that stays silent: then this
stops what is left and starts everything again. It imports no Ray, so that
nothing of Ray takes it along; a supervisor that is killed leaves the platform
serving, and the next one adopts it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from bestiary.cli.platform import haproxy_shim, processes
from bestiary.cli.platform.instance import Instance, Ports
from bestiary.cli.platform.ray_head import VITAL, RayHead
from bestiary.cli.platform.readiness import Readiness, probe
from bestiary.cli.platform.record import (
    Phase,
    PlatformRecord,
    read_record,
    remove_record,
    write_record,
)
from bestiary.errors import BestiaryError, Conflict, Unavailable

START_TIMEOUT_S = 180.0  # from Ray's start to /readyz 200
SILENCE_S = 40.0  # a gateway that is silent for so long is started again
LOOK_EVERY_S = 0.5
PROBE_EVERY_S = 2.0
DRAIN_S = 10.0
STOP_GRACE_S = 4.0
WRECK_GRACE_S = 0.5  # processes whose node died have nothing to finish
MAX_BACKOFF_S = 30.0

Say = Callable[[str], None]


@dataclass
class Supervisor:
    """`applications_file` holds the rendered applications; `run/reload` asks to read it again."""

    instance: Instance
    applications_file: Path
    say: Say
    restarts: int = 0
    _stopping: threading.Event = field(default_factory=threading.Event)
    _hurried: threading.Event = field(default_factory=threading.Event)
    _head: RayHead | None = None
    _vital: list[psutil.Process] = field(default_factory=list)

    def run(self) -> None:
        """Serves until SIGINT or SIGTERM. Raises Unavailable if the first start fails."""
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGTERM, self._on_signal)
        lock = FileLock(self.instance.run_directory / "supervisor.lock")
        try:
            lock.acquire(timeout=5)
        except Timeout as error:
            raise Conflict(f"another supervisor serves {self.instance.settings.home}") from error
        try:
            if not self._adopted():
                self._first_start()
            self._watch()
        finally:
            self.stop()
            lock.release()

    def stop(self) -> None:
        """Lets running answers end, then ends every process of the instance; safe to call twice."""
        self._record(Phase.STOPPING)
        self._drain()
        processes.end(processes.of_instance(self.instance), STOP_GRACE_S)
        remove_record(self.instance)

    def _on_signal(self, _number: int, _frame: object) -> None:
        if self._stopping.is_set():
            self._hurried.set()
        self._stopping.set()

    def _drain(self) -> None:
        """The door closes to new requests; answers under way have DRAIN_S, or until asked again."""
        doors = [p for p in processes.of_instance(self.instance) if p.name() == "haproxy"]
        for door in doors:
            with suppress(psutil.NoSuchProcess):
                door.send_signal(signal.SIGUSR1)  # HAProxy's soft stop
        deadline = time.monotonic() + DRAIN_S
        while any(door.is_running() for door in doors) and time.monotonic() < deadline:
            if self._hurried.wait(0.1):
                return

    def _adopted(self) -> bool:
        """Takes over a platform whose supervisor was killed, if it still serves."""
        record = read_record(self.instance)
        if record is None or not record.ports or not probe(self.instance.url).ready:
            return False
        self._head = RayHead(self.instance, record.known_ports)
        self._vital = self._head.vital_processes()
        self.restarts = record.restarts
        self.say("adopted the running platform")
        self._record(Phase.READY)
        return True

    def _first_start(self) -> None:
        self._record(Phase.STARTING)
        try:
            self._start()
        except BestiaryError as error:
            self._record(Phase.FAILED, str(error))
            raise

    def _start(self) -> None:
        began = time.monotonic()
        processes.end(processes.of_instance(self.instance), WRECK_GRACE_S)
        haproxy_shim.install(self.instance.haproxy_shim)
        self._reload_request.unlink(missing_ok=True)  # whatever it asked for is applied now
        self._head = RayHead(self.instance, Ports.free())
        self.say("starting Ray")
        self._head.start()
        self._vital = self._head.vital_processes()
        self.say("deploying the gateway and the models")
        self._apply_applications()
        self._record(Phase.READY)
        self.say(f"ready in {time.monotonic() - began:.0f} s")

    def _apply_applications(self) -> None:
        """Returns when /readyz is 200. Raises Unavailable with the reason if it never is."""
        assert self._head is not None
        log = self.instance.log_directory / "deploy.log"
        with log.open("w") as output:
            driver = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
                [sys.executable, "-m", "bestiary.cli.platform.serve_driver",
                 str(self.applications_file), self._head.address],
                env=self.instance.environment(self._head.ports),
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip
        try:
            self._wait_ready(driver, log)
        finally:
            if driver.poll() is None:
                driver.kill()
            driver.wait()

    def _wait_ready(self, driver: subprocess.Popen[bytes], log: Path) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        state = Readiness(alive=False, ready=False, detail="not started")
        while not self._stopping.is_set():
            applied = driver.poll()
            if applied not in (None, 0):
                raise Unavailable(f"the deployment failed:\n{log.read_text()[-2000:]}")
            if applied == 0:
                state = probe(self.instance.url)
                if state.ready:
                    return
            if not self._node_lives():
                raise Unavailable("Ray's node died while the platform started")
            if time.monotonic() > deadline:
                detail = state.detail[:2000]
                raise Unavailable(f"not ready after {START_TIMEOUT_S:.0f} s: {detail}")
            self._stopping.wait(0.2)
        raise Unavailable("stopped before it was ready")

    def _watch(self) -> None:
        last_answer = time.monotonic()
        next_probe = 0.0
        while not self._stopping.wait(LOOK_EVERY_S):
            self._reload_if_asked()
            if not self._node_lives():
                self._restart("Ray's node died")
                last_answer = time.monotonic()
            if time.monotonic() >= next_probe:
                if probe(self.instance.url).alive:
                    last_answer = time.monotonic()
                elif time.monotonic() - last_answer > SILENCE_S:
                    self._restart(f"the gateway was silent for {SILENCE_S:.0f} s")
                    last_answer = time.monotonic()
                next_probe = time.monotonic() + PROBE_EVERY_S

    def _node_lives(self) -> bool:
        return len(self._vital) >= len(VITAL) and all(
            p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in self._vital
        )

    def _restart(self, reason: str) -> None:
        """Starts again until it works or somebody stops it, waiting longer each time."""
        backoff_s = 1.0
        while not self._stopping.is_set():
            self.restarts += 1
            self.say(f"{reason}: starting again")
            self._record(Phase.RESTARTING, reason)
            try:
                self._start()
            except BestiaryError as error:
                reason = str(error)
                self._record(Phase.RESTARTING, reason)
                self._stopping.wait(backoff_s)
                backoff_s = min(MAX_BACKOFF_S, backoff_s * 2)
            else:
                return

    def _reload_if_asked(self) -> None:
        if not self._reload_request.exists():
            return
        self._reload_request.unlink()
        self.say("applying the changed profile")
        try:
            self._apply_applications()
        except BestiaryError as error:
            self._record(Phase.READY, f"the change could not be applied: {error}")
        else:
            self._record(Phase.READY)

    @property
    def _reload_request(self) -> Path:
        return self.instance.run_directory / "reload"

    def _record(self, phase: Phase, reason: str = "") -> None:
        write_record(
            self.instance,
            PlatformRecord(
                supervisor_pid=os.getpid(),
                url=self.instance.url,
                profile=self.instance.settings.profile,
                phase=phase,
                reason=reason,
                restarts=self.restarts,
                ports=asdict(self._head.ports) if self._head else {},
            ),
        )
