#!/usr/bin/env python3
"""Does every panel of the dashboard show data? Asked of a real Prometheus, not of a mock.

    python tests/k8s/dashboard_check.py --url http://127.0.0.1:8000 [--key KEY]

Starts Prometheus on a free loopback port, lets it scrape the platform's `/metrics` every
second, and after five scrapes evaluates every panel's query, again and again until all have
data or `--timeout` is over. It sends nothing itself: rates need requests *while it runs*.
For every panel that is at least one streamed chat on each tier and one request that
fails (a wrong model name gives a 404), again each second or so. Ray's agents publish every
ten seconds: keep the traffic up for half a minute.

Exit status 0: all panels have data. 1: not; the panels are listed. 2: nothing to scrape.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
DASHBOARD = REPOSITORY / "k8s" / "grafana" / "bestiary.json"
RULES = REPOSITORY / "k8s" / "prometheus" / "rules.yaml"
MIN_SCRAPES = 5
RATE_WINDOW = "30s"
POLL_S = 0.5
HTTP_TIMEOUT_S = 10.0
START_TIMEOUT_S = 30.0
VARIABLES = {"$__rate_interval": RATE_WINDOW, "$__interval": "5s", "$tier": ".*", "$model": ".*"}


class CannotCheck(Exception):
    """There is no Prometheus, or nothing that it can scrape."""


@dataclass(frozen=True, slots=True)
class PanelQuery:
    panel: str
    expression: str  # variables substituted


class Prometheus:
    """The HTTP API of one server: https://prometheus.io/docs/prometheus/latest/querying/api/"""

    def __init__(self, url: str) -> None:
        self._url = url

    def values(self, expression: str) -> list[float]:
        """One number per series of an instant vector; NaN says that a series had nothing."""
        data = self._get("query", {"query": expression})
        result = data["result"] if isinstance(data, dict) else []
        return [float(series["value"][1]) for series in result]

    def scrapes(self) -> int:
        """Successful ones so far."""
        return int(sum(self.values('sum_over_time(up{job="bestiary"}[10m])')))

    def scrape_error(self) -> str:
        data = self._get("targets", {"state": "active"})
        targets = data["activeTargets"] if isinstance(data, dict) else []
        return "; ".join(str(target["lastError"]) for target in targets) or "no target yet"

    def broken_rules(self) -> list[str]:
        """Rules whose evaluation fails, with the reason."""
        data = self._get("rules", {})
        groups = data["groups"] if isinstance(data, dict) else []
        return [
            f"{rule['name']}: {rule.get('lastError')}"
            for group in groups
            for rule in group["rules"]
            if rule["health"] == "err"
        ]

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._url}/-/ready", timeout=HTTP_TIMEOUT_S) as reply:
                return bool(reply.status == 200)
        except OSError:
            return False

    def _get(self, path: str, query: dict[str, str]) -> object:
        url = f"{self._url}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=HTTP_TIMEOUT_S) as reply:
                return json.load(reply)["data"]
        except urllib.error.HTTPError as error:
            raise CannotCheck(f"{query}: {error.read().decode(errors='replace')}") from error


@contextmanager
def running_prometheus(target: str, key: str | None) -> Iterator[Prometheus]:
    """Scrapes `target` each second; stopped, and its data removed, in the end."""
    binary = shutil.which("prometheus")
    if binary is None:
        raise CannotCheck("prometheus is not installed (Debian: apt-get install prometheus)")
    with tempfile.TemporaryDirectory(prefix="dashboard-check-") as folder:
        config = Path(folder) / "prometheus.yml"
        config.write_text(yaml.safe_dump(scrape_config(target, key)))
        config.chmod(0o600)  # it may hold a key
        address = f"127.0.0.1:{free_port()}"
        command = [
            binary,
            f"--config.file={config}",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address={address}",
            "--log.level=error",
        ]
        process = subprocess.Popen(command)
        try:
            server = Prometheus(f"http://{address}")
            await_start(server, process)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(timeout=10)


def scrape_config(target: str, key: str | None) -> dict[str, object]:
    """`target` is the platform's URL."""
    parts = urllib.parse.urlsplit(target)
    job: dict[str, object] = {
        "job_name": "bestiary",
        "scheme": parts.scheme,
        "metrics_path": "/metrics",
        "static_configs": [{"targets": [parts.netloc]}],
    }
    if key is not None:
        job["authorization"] = {"credentials": key}
    timing = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    return {"global": timing, "rule_files": [str(RULES)], "scrape_configs": [job]}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def await_start(server: Prometheus, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not server.is_ready():
        if process.poll() is not None:
            raise CannotCheck(f"prometheus ended with status {process.returncode}")
        if time.monotonic() > deadline:
            raise CannotCheck(f"prometheus was not ready after {START_TIMEOUT_S:.0f} s")
        time.sleep(POLL_S)


def panel_queries(dashboard: Path) -> list[PanelQuery]:
    """Every query of every panel, its variables substituted."""
    board = json.loads(dashboard.read_text(encoding="utf-8"))
    return [
        PanelQuery(panel["title"], substituted(target["expr"]))
        for panel in board["panels"]
        for target in panel.get("targets", [])
    ]


def substituted(expression: str) -> str:
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    if "$" in expression:
        raise CannotCheck(f"an unknown variable in {expression}")
    return expression


def await_scrapes(server: Prometheus, deadline: float) -> None:
    while server.scrapes() < MIN_SCRAPES:
        if time.monotonic() > deadline:
            raise CannotCheck(f"{server.scrapes()} scrapes worked: {server.scrape_error()}")
        time.sleep(POLL_S)


def without_data(server: Prometheus, queries: list[PanelQuery]) -> list[PanelQuery]:
    """NaN is what a quantile of nothing gives: it draws no line either."""
    return [
        query
        for query in queries
        if all(math.isnan(value) for value in server.values(query.expression))
    ]


def check(url: str, key: str | None, timeout_s: float, dashboard: Path) -> int:
    queries = panel_queries(dashboard)
    with running_prometheus(url, key) as server:
        deadline = time.monotonic() + timeout_s
        await_scrapes(server, deadline)
        missing = without_data(server, queries)
        while missing and time.monotonic() < deadline:
            time.sleep(POLL_S)
            # A panel that had data once has it: traffic may have stopped meanwhile.
            missing = without_data(server, missing)
        broken = server.broken_rules()
    for query in missing:
        print(f"no data: {query.panel}: {query.expression}")
    for rule in broken:
        print(f"rule fails: {rule}")
    print(f"{len(queries) - len(missing)} of {len(queries)} panel queries have data")
    return 1 if missing or broken else 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Checks the dashboard against a live platform.")
    parser.add_argument(
        "--url", required=True, help="of the platform, such as http://127.0.0.1:8000"
    )
    parser.add_argument("--key", help="sent as a bearer token to /metrics")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds")
    parser.add_argument("--dashboard", type=Path, default=DASHBOARD)
    given = parser.parse_args()
    try:
        return check(given.url, given.key, given.timeout, given.dashboard)
    except CannotCheck as error:
        print(f"cannot check: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
