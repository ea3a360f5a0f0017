"""Starts and stops the Ray head node of an instance, and says whether it lives."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

from bestiary.cli.platform import processes
from bestiary.cli.platform.instance import Instance, Ports
from bestiary.errors import Unavailable

START_TIMEOUT_S = 60
OBJECT_STORE_BYTES = 256 * 2**20  # requests and chunks travel over gRPC; little goes through it
VITAL = ("gcs_server", "raylet")  # the rest is either restarted by these or not needed to serve


@dataclass(frozen=True)
class RayHead:
    instance: Instance
    ports: Ports

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.ports.ray}"

    @property
    def temporary_directory(self) -> Path:
        return self.instance.socket_directory / "ray"

    @property
    def metrics_targets_file(self) -> Path:
        """Prometheus service discovery: where Ray's metrics agents listen."""
        return self.temporary_directory / "prom_metrics_service_discovery.json"

    def start(self) -> None:
        """Returns when the node is up. Raises Unavailable with Ray's own words if it is not."""
        command = [
            sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--disable-usage-stats",
            f"--port={self.ports.ray}",
            f"--ray-client-server-port={self.ports.ray_client}",
            f"--dashboard-agent-listen-port={self.ports.ray_agent}",
            "--include-dashboard=false",
            "--include-log-monitor=false",
            f"--object-store-memory={OBJECT_STORE_BYTES}",
            f"--temp-dir={self.temporary_directory}",
        ]  # fmt: skip
        try:
            done = subprocess.run(  # noqa: S603 - our own interpreter and arguments
                command,
                env=self.instance.environment(self.ports),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=START_TIMEOUT_S,
                start_new_session=True,  # Ctrl-C is the supervisor's to handle
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"Ray's head node did not start in {START_TIMEOUT_S} s") from error
        if done.returncode != 0:
            raise Unavailable(
                f"Ray's head node did not start:\n{(done.stdout + done.stderr)[-2000:]}"
            )

    def vital_processes(self) -> list[psutil.Process]:
        """The GCS server and the raylet: without either the node is lost."""
        return [p for p in processes.of_instance(self.instance) if p.name() in VITAL]
