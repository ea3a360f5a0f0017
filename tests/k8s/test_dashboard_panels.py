"""The dashboard check, run as its own program against a stand-in platform's `/metrics`."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

REPOSITORY = Path(__file__).resolve().parents[2]
CHECK = REPOSITORY / "tests" / "k8s" / "dashboard_check.py"
REQUEST_LABELS = ("model", "tier", "dialect")
STAGES = ("gateway", "routing", "queue", "prefill", "decode", "framework")

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="no prometheus here: apt-get install prometheus"
)


class FakePlatform:
    """The metrics that the gateway promises, with one request of traffic a tick."""

    def __init__(self, *, without: str = "") -> None:
        self.registry = CollectorRegistry()
        names = (
            "time_to_first_token_seconds",
            "inter_token_latency_seconds",
            "e2e_request_latency_seconds",
            *(f"request_{stage}_time_seconds" for stage in STAGES),
        )
        self._histograms = [
            Histogram(f"bestiary_{name}", "", REQUEST_LABELS, registry=self.registry)
            for name in names
            if name != without
        ]
        self._tokens = [
            Counter(f"bestiary_{name}_tokens", "", REQUEST_LABELS, registry=self.registry)
            for name in ("prompt", "generation")
        ]
        self._requests = Counter(
            "bestiary_requests", "", (*REQUEST_LABELS, "status"), registry=self.registry
        )
        self._routes = Counter(
            "bestiary_routes", "", ("asked", "tier", "reason"), registry=self.registry
        )
        self._prefixes = [
            Counter(f"bestiary_prefix_cache_{what}", "", ("model",), registry=self.registry)
            for what in ("queries", "hits")
        ]
        self._gauges()

    def _gauges(self) -> None:
        labels = ("model", "deployment")
        for name in ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc"):
            gauge = Gauge(f"bestiary_{name}", "", labels, registry=self.registry)
            gauge.labels("smollm2", "small").set(0.5)
        healthy = Gauge(
            "ray_serve_deployment_replica_healthy",
            "",
            ("application", "deployment", "replica"),
            registry=self.registry,
        )
        healthy.labels("gateway", "Gateway", "1").set(1)

    def one_request(self) -> None:
        labels = ("smollm2", "gecko", "openai")
        for histogram in self._histograms:
            histogram.labels(*labels).observe(0.05)
        for counter in self._tokens:
            counter.labels(*labels).inc(10)
        for status in ("200", "404"):
            self._requests.labels(*labels, status).inc()
        for counter in self._prefixes:
            counter.labels("smollm2").inc(32)
        self._routes.labels("gecko", "gecko", "requested-tier").inc()


@contextmanager
def served(platform: FakePlatform) -> Iterator[str]:
    """Its URL; traffic comes in all the while."""
    server, thread = start_http_server(0, addr="127.0.0.1", registry=platform.registry)
    over = threading.Event()

    def traffic() -> None:
        while not over.wait(0.1):
            platform.one_request()

    sender = threading.Thread(target=traffic)
    sender.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        over.set()
        sender.join(timeout=5)
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


def run_check(url: str, timeout_s: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(CHECK), "--url", url, "--timeout", str(timeout_s)]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)


def test_every_panel_has_data_where_all_metrics_are_exported() -> None:
    with served(FakePlatform()) as url:
        done = run_check(url, timeout_s=45)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no data" not in done.stdout


def test_panels_without_data_are_listed() -> None:
    with served(FakePlatform(without="inter_token_latency_seconds")) as url:
        done = run_check(url, timeout_s=12)
    missing = [line for line in done.stdout.splitlines() if line.startswith("no data")]
    assert done.returncode == 1, done.stdout + done.stderr
    assert {line.split(":")[1] for line in missing} == {" Inter-token latency"}


def test_nothing_to_scrape_is_told_apart() -> None:
    done = run_check("http://127.0.0.1:9", timeout_s=8)
    assert done.returncode == 2
    assert "connection refused" in done.stderr
