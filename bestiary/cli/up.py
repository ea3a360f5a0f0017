"""`bestiary up`, `down`, `setup`: the platform of this machine."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import psutil
import typer

from bestiary.cli.context import Context
from bestiary.cli.platform import processes
from bestiary.cli.platform.instance import Instance
from bestiary.cli.platform.record import (
    Phase,
    PlatformRecord,
    read_record,
    remove_record,
)
from bestiary.cli.platform.supervisor import Supervisor
from bestiary.cli.screen import ScreenProgress, console
from bestiary.errors import Conflict, Unavailable
from bestiary.profile.applications import ApplicationSpec, prepare

STOP_TIMEOUT_S = 30.0


def up(
    context: typer.Context,
    detach: Annotated[bool, typer.Option(help="Run in the background.")] = False,
    wait: Annotated[
        bool, typer.Option(help="With --detach: return when it is ready, or fail with the reason.")
    ] = False,
    timeout: Annotated[float, typer.Option(help="Seconds that --wait waits.")] = 240.0,
) -> None:
    """Start the platform: installs what is missing, serves, and prints how to call it.

    Runs until Ctrl-C; with --detach it runs in the background until `bestiary down`.
    """
    ctx: Context = context.obj
    if _already_runs(ctx):
        return
    ctx.instance.create()
    _require_free_port(ctx)
    specs = _prepared(ctx)
    key = ctx.first_key()
    applications_file = _write_applications(ctx.instance, specs)
    if detach:
        _detach(ctx.instance)
        if wait:
            _wait(ctx.instance, timeout)
            _welcome(ctx, key)
        else:
            console.print(f"starting in the background; log: {_log_file(ctx.instance)}")
        return

    def say(line: str) -> None:
        console.print(f"  {line}")
        if line.startswith("ready in"):
            _welcome(ctx, key)
            console.print("\nCtrl-C stops it.")

    Supervisor(ctx.instance, applications_file, say).run()
    console.print("stopped")


def supervise(context: typer.Context) -> None:
    """What `up --detach` runs in the background."""
    ctx: Context = context.obj
    Supervisor(ctx.instance, _applications_file(ctx.instance), _log_line).run()


def setup(context: typer.Context) -> None:
    """Install the profile's weights and build its graphs, without starting anything."""
    ctx: Context = context.obj
    ctx.instance.create()
    _prepared(ctx)


def down(context: typer.Context) -> None:
    """Stop the platform and every process of it."""
    instance = context.obj.instance
    record = read_record(instance)
    if record is not None and record.supervised:
        os.kill(record.supervisor_pid, signal.SIGTERM)
        try:
            psutil.Process(record.supervisor_pid).wait(timeout=STOP_TIMEOUT_S)
        except psutil.NoSuchProcess:
            pass
        except psutil.TimeoutExpired:
            os.kill(record.supervisor_pid, signal.SIGKILL)
    left = processes.of_instance(instance)
    processes.end(left, grace_s=4)
    remove_record(instance)
    console.print("stopped" if record or left else "nothing was running")


def _already_runs(ctx: Context) -> bool:
    record = read_record(ctx.instance)
    if record is None or not record.supervised:
        return False
    console.print(f"already {record.phase} at {record.url}")
    return True


def _require_free_port(ctx: Context) -> None:
    if processes.of_instance(ctx.instance):
        return  # our own, whose supervisor is gone: it is adopted or ended
    settings = ctx.settings
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((settings.host, settings.port))
        except OSError as error:
            raise Conflict(
                f"{settings.host}:{settings.port} cannot be used ({error.strerror}); stop what "
                f"listens there{_listener(settings.port)}, or set BESTIARY_PORT to another port"
            ) from error


def _listener(port: int) -> str:
    for connection in psutil.net_connections("tcp"):
        if connection.status == "LISTEN" and connection.laddr.port == port and connection.pid:
            return f" ({psutil.Process(connection.pid).name()}, pid {connection.pid})"
    return ""


def _prepared(ctx: Context) -> tuple[ApplicationSpec, ...]:
    specs = ctx.applications()
    for spec in specs:
        prepare(spec, ScreenProgress())
    return specs


def _applications_file(instance: Instance) -> Path:
    return instance.run_directory / "applications.json"


def _write_applications(instance: Instance, specs: tuple[ApplicationSpec, ...]) -> Path:
    path = _applications_file(instance)
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps([spec.model_dump(mode="json") for spec in specs]))
    temporary.replace(path)
    return path


def reload_running(ctx: Context) -> bool:
    """Has a running platform take over the changed profile; False where none runs."""
    record = read_record(ctx.instance)
    if record is None or not record.supervised:
        return False
    _write_applications(ctx.instance, _prepared(ctx))
    (ctx.instance.run_directory / "reload").touch()
    return True


def _log_file(instance: Instance) -> Path:
    return instance.log_directory / "platform.log"


def _log_line(line: str) -> None:
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}", flush=True)


def _detach(instance: Instance) -> None:
    environment = {**os.environ, "BESTIARY_HOME": str(instance.settings.home)}
    with _log_file(instance).open("a") as log:
        subprocess.Popen(
            [sys.executable, "-m", "bestiary.cli.main", "supervise"],
            env=environment | _settings_environment(instance),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _settings_environment(instance: Instance) -> dict[str, str]:
    settings = instance.settings
    return {
        "BESTIARY_HOST": settings.host,
        "BESTIARY_PORT": str(settings.port),
        "BESTIARY_PROFILE": settings.profile,
        "BESTIARY_DATABASE_URL": settings.resolved_database_url,
    }


def _wait(instance: Instance, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    record: PlatformRecord | None = None
    while time.monotonic() < deadline:
        record = read_record(instance)
        if record is not None and record.phase is Phase.READY:
            return
        if record is not None and record.phase is Phase.FAILED:
            raise Unavailable(f"{record.reason}\nlog: {_log_file(instance)}")
        time.sleep(0.2)
    reason = record.reason if record and record.reason else "it is still starting"
    raise Unavailable(f"not ready after {timeout_s:.0f} s: {reason}\nlog: {_log_file(instance)}")


def _welcome(ctx: Context, key: str) -> None:
    url = ctx.instance.url
    console.print(f"\n[bold green]Bestiary serves at {url}[/bold green]   API docs: {url}/docs")
    console.print(f"key: {key}   (also in {ctx.settings.key_file})\n")
    console.print("Three things to try:")
    console.print(
        '  bestiary chat "What is the capital of France? Answer in one sentence."', markup=False
    )
    console.print('  bestiary embed "a cat on a mat" "a kitten on a rug"', markup=False)
    console.print(
        f"  curl {url}/v1/chat/completions"
        f" -H 'authorization: Bearer '$(cat {ctx.settings.key_file})"
        " -H 'content-type: application/json'"
        ' -d \'{"model": "gecko", "messages": [{"role": "user", "content": "Say hello."}]}\'',
        markup=False,
        soft_wrap=True,
    )
