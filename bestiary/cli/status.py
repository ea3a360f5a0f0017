"""`bestiary status`: whether the platform runs, and the state of every model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import typer
from rich.markup import escape
from rich.table import Table

from bestiary.cli.platform.failures import AskFailures, Failure, ask_failures
from bestiary.cli.platform.instance import Instance
from bestiary.cli.platform.readiness import probe
from bestiary.cli.platform.record import PlatformRecord, read_record
from bestiary.cli.screen import console

FAILED = "failed"
ANSWERS = ("running", "overloaded")  # states of a deployment that can


Row = Mapping[str, Any]  # of /readyz, about one deployment


def status(context: typer.Context) -> None:
    """Show whether the platform runs, and the state of every model."""
    raise typer.Exit(0 if tell(context.obj.instance, ask_failures) else 1)


def tell(instance: Instance, ask: AskFailures) -> bool:
    """Prints it; whether everything that should answer does.

    Serve is asked why only where something does not: that takes seconds.
    """
    record = read_record(instance)
    if record is None:
        console.print(f"not running (home {instance.settings.home})")
        return False
    _print_record(record)
    state = probe(record.url)
    rows = json.loads(state.detail).get("deployments", {}) if state.alive else {}
    all_answer = state.alive and all(row.get("state") in ANSWERS for row in rows.values())
    failures = {} if all_answer or not record.ports else ask(instance, record.known_ports)
    if rows:
        console.print(_deployments_table(rows, failures))
    for name, failure in failures.items():
        console.print(f"[red]{FAILED}[/red]: {name}: {escape(failure.reason)}", soft_wrap=True)
        if failure.log is not None:
            console.print(f"  log: {failure.log}", soft_wrap=True)
    return state.ready


def _print_record(record: PlatformRecord) -> None:
    alive = "" if record.supervised else " (its supervisor is gone: run `bestiary up`)"
    console.print(f"[bold]{record.phase}[/bold] at {record.url}{alive}")
    if record.reason:
        console.print(f"  reason: {escape(record.reason)}")
    if record.restarts:
        console.print(f"  restarts: {record.restarts}")


def _deployments_table(rows: Mapping[str, Row], failures: Mapping[str, Failure]) -> Table:
    table = Table("deployment", "state", "replicas", "running", "waiting", box=None)
    for name, row in rows.items():
        load = row.get("load") or {}
        # One whose update failed goes on with its old replicas.
        known = row.get("state")
        said = FAILED if name in failures and known not in ANSWERS else known
        cells = (said, row.get("replicas"), load.get("running"), load.get("waiting"))
        table.add_row(name, *("" if cell is None else str(cell) for cell in cells))
    return table
