"""`bestiary status`: what failed is called failed, with the reason and where its log is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

import pytest
from scripted_server import Reply, ScriptedServer

from bestiary.cli.platform import haproxy_shim, processes
from bestiary.cli.platform.failures import Failure, ask_failures, first_line, log_of
from bestiary.cli.platform.instance import Instance, Ports
from bestiary.cli.platform.ray_head import RayHead
from bestiary.cli.platform.record import Phase, PlatformRecord, write_record
from bestiary.cli.status import tell
from bestiary.settings import Settings

# What Serve 2.60 told of a replica whose constructor raised, its frames shortened to two.
TOLD = (
    "The deployment failed to start 3 times in a row. This may be due to a problem with its "
    "constructor or initial health check failing. See controller logs for details. Error:\n"
    "\x1b[36mray::ServeReplica:small:small.initialize_and_get_metadata()\x1b[39m (pid=16590, "
    "ip=192.0.2.2, actor_id=99d38adac39dd8f2bf55c33b01000000, repr=<ray.serve...>)\n"
    '  File "/site-packages/ray/serve/_private/replica.py", line 1928, in initialize\n'
    "    raise RuntimeError(traceback.format_exc()) from None\n"
    "RuntimeError: Traceback (most recent call last):\n"
    '  File "/site-packages/ray/serve/_private/replica.py", line 4010, in _call_func_or_gen\n'
    "    result = await result\n"
    "             ^^^^^^^^^^^^\n"
    "bestiary.errors.KernelError: the graph was built for 10 tokens,\n"
    "not 20"
)
PORTS = Ports(1, 2, 3, 4, 5, 6, 7)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as scripted:
        yield scripted


def instance_at(home: Path, port: int = 8000) -> Instance:
    instance = Instance(Settings(home=home, port=port))
    instance.create()
    return instance


def running_at(url: str, home: Path) -> Instance:
    instance = instance_at(home)
    record = PlatformRecord(
        supervisor_pid=os.getpid(),
        url=url,
        profile="laptop",
        phase=Phase.READY,
        ports=asdict(PORTS),
    )
    write_record(instance, record)
    return instance


def readyz(**states: str) -> Reply:
    rows = {name: {"state": state, "replicas": 0} for name, state in states.items()}
    ready = all(state == "running" for state in states.values())
    body = {"ready": ready, "deployments": rows, "absent": {"padding": "x" * 3000}}
    return Reply(200 if ready else 503, body, {"x-request-id": "r"})


def lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_the_reason_is_what_was_raised_not_where() -> None:
    assert first_line(TOLD) == "KernelError: the graph was built for 10 tokens,"
    assert first_line('Error:\n  File "a.py", line 1, in f\n    f()\nMemoryError') == "MemoryError"
    assert first_line("Error:\nActorDiedError('it died')") == "ActorDiedError('it died')"
    assert first_line("") == "Serve gives no reason"


def test_the_log_is_the_newest_that_tells_the_reason(tmp_path: Path) -> None:
    said = {
        "replica_small_small_c.log": "started",
        "replica_small_small_b.log": "KernelError: no",
        "replica_small_small_a.log": "KernelError: no",
        "replica_small_int8_small_int8_d.log": "KernelError: no",
        "controller_1.log": "builtins.KernelError: no\nCardInvalid: bad",
    }
    for age, (name, text) in enumerate(said.items()):
        (tmp_path / name).write_text(text)
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    found = log_of(tmp_path, "small", "small", "KernelError: no")
    assert found == tmp_path / "replica_small_small_b.log"
    assert log_of(tmp_path, "large", "", "CardInvalid: bad") == tmp_path / "controller_1.log"
    assert log_of(tmp_path, "small", "small", "something else") is None


def test_what_failed_is_not_called_cold(
    server: ScriptedServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.will(readyz(small="cold", vectors="running", large="cold"))
    asked: list[Ports] = []

    def ask(instance: Instance, ports: Ports) -> Mapping[str, Failure]:
        asked.append(ports)
        return {"small": Failure(first_line(TOLD), Path("/logs/replica_small.log"))}

    assert not tell(running_at(server.url, tmp_path), ask)
    said = lines(capsys.readouterr().out)
    assert "small failed 0" in said
    assert "vectors running 0" in said
    assert "large cold 0" in said
    assert "failed: small: KernelError: the graph was built for 10 tokens," in said
    assert "log: /logs/replica_small.log" in said
    assert asked == [PORTS]


def test_one_whose_update_failed_goes_on_and_says_so(
    server: ScriptedServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.will(readyz(small="running", large="cold"))
    failure = Failure("KernelError: too long", None)
    tell(running_at(server.url, tmp_path), lambda instance, ports: {"small": failure})
    said = lines(capsys.readouterr().out)
    assert "small running 0" in said
    assert "failed: small: KernelError: too long" in said


def test_serve_is_not_asked_where_everything_answers(
    server: ScriptedServer, tmp_path: Path
) -> None:
    server.will(readyz(small="running"))

    def ask(instance: Instance, ports: Ports) -> Mapping[str, Failure]:
        raise AssertionError("nobody has to know")

    assert tell(running_at(server.url, tmp_path), ask)


def test_a_gateway_that_failed_is_told_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failure = Failure("ProfileInvalid: no tiers", None)
    instance = running_at("http://127.0.0.1:1", tmp_path)
    assert not tell(instance, lambda instance, ports: {"gateway": failure})
    assert "failed: gateway: ProfileInvalid: no tiers" in lines(capsys.readouterr().out)


def test_nothing_is_asked_where_nothing_runs(tmp_path: Path) -> None:
    assert not tell(instance_at(tmp_path), lambda instance, ports: {})


@pytest.mark.slow
def test_a_real_serve_tells_why_a_model_could_not_start(tmp_path: Path) -> None:
    """A card that no garden knows: every replica's constructor raises, until Serve gives up."""
    instance = instance_at(tmp_path, port=Ports.free().ray)
    haproxy_shim.install(instance.haproxy_shim)
    head = RayHead(instance, Ports.free())
    specs = tmp_path / "applications.json"
    specs.write_text(json.dumps([_unknown_model()]))
    driver = [sys.executable, "-m", "bestiary.cli.platform.serve_driver", str(specs), head.address]
    try:
        head.start()
        subprocess.run(driver, env=instance.environment(head.ports), check=True, timeout=120)
        failures: Mapping[str, Failure] = {}
        for _ in range(60):
            failures = ask_failures(instance, head.ports)
            if failures:
                break
        assert "unheard-of" in failures["small"].reason
        assert failures["small"].log is not None
        assert "unheard-of" in failures["small"].log.read_text()
    finally:
        processes.end(processes.of_instance(instance), grace_s=2)


def _unknown_model() -> dict[str, object]:
    card = {
        "id": "unheard-of",
        "family": "text",
        "architecture": "LlamaForCausalLM",
        "title": "Nobody's",
        "parameters": 1000,
        "instruct": True,
        "context_length": 64,
        "license": "Apache-2.0",
        "provenance": "invented",
        "sources": [{"url": "file:///nowhere"}],
    }
    args = {
        "deployment": "small",
        "card": card,
        "resources": {},
        "scaling": {},
        "queue": {},
        "text": {},
    }
    return {
        "name": "small",
        "import_path": "deployments.text.app:build",
        "route_prefix": None,
        "args": args,
    }
