"""One platform on this machine: its paths, its ports and its environment.

Everything that belongs to an instance carries `BESTIARY_INSTANCE` in its
environment, so that `down` finds every process of it, orphans included, and
never one of another instance. Starts nothing.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
import sys
import tempfile
from dataclasses import dataclass, fields
from pathlib import Path

from bestiary.settings import Settings

INSTANCE_VARIABLE = "BESTIARY_INSTANCE"
WORKER_HOOK = "bestiary.cli.platform.loopback.bind_to_loopback"
# Ray's own address rule: on Linux it swaps 127.0.0.1 for an outside address unless this is 0.
LOOPBACK_ONLY = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


@dataclass(frozen=True)
class Ports:
    """What one instance listens on besides the gateway's port, all on loopback."""

    ray: int
    ray_client: int
    ray_agent: int
    haproxy_metrics: int
    haproxy_stats: int
    serve_proxy: int
    replicas: int  # first of REPLICA_PORTS

    @classmethod
    def free(cls) -> Ports:
        """Ports that nobody listens on now."""
        single = [field.name for field in fields(cls) if field.name != "replicas"]
        sockets = [socket.socket() for _ in single]
        try:
            for each in sockets:
                each.bind(("127.0.0.1", 0))
            numbers = {
                name: each.getsockname()[1] for name, each in zip(single, sockets, strict=True)
            }
            return cls(**numbers, replicas=_free_range())
        finally:
            for each in sockets:
                each.close()


REPLICA_PORTS = 400  # freed ones rest for two and a half minutes, so keep plenty


def _free_range() -> int:
    """The first of REPLICA_PORTS ports whose ends are free, below Linux's ephemeral range."""
    for start in range(20000, 32000, REPLICA_PORTS):
        if all(_is_free(start + offset) for offset in range(8)):
            return start
    return 20000


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@dataclass(frozen=True)
class Instance:
    """`settings.home` names the instance: one platform per home."""

    settings: Settings

    @property
    def id(self) -> str:
        return hashlib.sha256(str(self.settings.home.resolve()).encode()).hexdigest()[:10]

    @property
    def url(self) -> str:
        return f"http://{self.settings.host}:{self.settings.port}"

    @property
    def run_directory(self) -> Path:
        """What is worth nothing after a stop: state file, locks, the rendered applications."""
        return self.settings.home / "run"

    @property
    def log_directory(self) -> Path:
        return self.settings.home / "logs"

    @property
    def socket_directory(self) -> Path:
        """Unix sockets are limited to 107 characters and Ray's names are long: a short path."""
        return Path(tempfile.gettempdir()) / f"bst-{os.getuid()}-{self.id}"

    @property
    def ray_token_file(self) -> Path:
        return self.run_directory / "ray-token"

    def create(self) -> None:
        """Makes the directories, readable by their owner only, and the token of Ray's ports."""
        for directory in (
            self.settings.home,
            self.run_directory,
            self.log_directory,
            self.socket_directory,
        ):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            if directory.stat().st_uid != os.getuid():
                raise PermissionError(f"{directory} belongs to somebody else")
            directory.chmod(0o700)
        if not self.ray_token_file.exists():
            self.ray_token_file.touch(mode=0o600)
            self.ray_token_file.write_text(secrets.token_hex(32))

    def environment(self, ports: Ports) -> dict[str, str]:
        """The environment of every process of the instance."""
        sockets = self.socket_directory
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "PYTEST_"))}
        return {
            **inherited,
            **LOOPBACK_ONLY,
            INSTANCE_VARIABLE: self.id,
            "BESTIARY_HOME": str(self.settings.home),
            "BESTIARY_HOST": self.settings.host,
            "BESTIARY_PORT": str(self.settings.port),
            "BESTIARY_PROFILE": self.settings.profile,
            "BESTIARY_DATABASE_URL": self.settings.resolved_database_url,
            "HF_HUB_OFFLINE": os.environ.get("HF_HUB_OFFLINE", "1"),
            "PYTHONUNBUFFERED": "1",
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.ray_token_file),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_DEDUP_LOGS": "0",
            "RAY_metrics_report_interval_ms": "2000",
            "RAY_worker_niceness": "0",  # 15 by default: whatever else runs would come first
            "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
            "RAY_SERVE_ENABLE_HA_PROXY": "1",
            # Buffered request logs would be lost with a killed replica.
            "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1",
            "RAY_SERVE_HAPROXY_BINARY_PATH": str(self.haproxy_shim),
            "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(sockets / "haproxy.cfg"),
            "RAY_SERVE_HAPROXY_SOCKET_PATH": str(sockets / "admin.sock"),
            "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(sockets / "metrics.sock"),
            "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(sockets),
            "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(sockets / "server-state"),
            "RAY_SERVE_HAPROXY_NBTHREAD": str(min(4, os.cpu_count() or 1)),
            "RAY_SERVE_HAPROXY_METRICS_PORT": str(ports.haproxy_metrics),
            "RAY_SERVE_HAPROXY_STATS_PORT": str(ports.haproxy_stats),
            "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(ports.serve_proxy),
            # A killed HAProxy is noticed after three looks: 6 s instead of 30.
            "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "2",
            "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "20",
            # A gateway replica that is replaced closes connections that HAProxy kept for reuse:
            # a request that was just put on one got no answer at all. Another replica gets it.
            "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response",
            "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(ports.replicas),
            "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(ports.replicas + REPLICA_PORTS),
        }

    @property
    def haproxy_shim(self) -> Path:
        return self.run_directory / "haproxy"
