"""Parity certificates of what writes text as a table, for people."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table

from bestiary.garden.certificate import CertifiedBuild

MEGABYTE = 1e6


def certificate_table(builds: Iterable[CertifiedBuild]) -> Table:
    table = Table("build", title="builds, against torch in float32", title_justify="left", box=None)
    for column in (
        "context",
        "MB",
        "KL",
        "top-1",
        "perplexity",
        "decode x1",
        "decode x16",
        "prefill",
    ):
        table.add_column(column, justify="right")
    table.add_column("measured")
    table.caption = "speeds in tokens/s; KL in nats per token"
    table.caption_justify = "left"
    for build in builds:
        table.add_row(
            _name(build),
            build.options.get("positions", "-"),  # only decoders' graphs are of one length
            f"{build.bytes / MEGABYTE:.0f}",
            *_measured(build),
        )
    return table


def _name(build: CertifiedBuild) -> str:
    """Its precision, and what else it is known by: `w8a16 + kv int8 + adapters`."""
    kv = [f"kv {build.options['kv']}"] if "kv" in build.options else []
    adapters = ["adapters"] if "adapters" in build.options else []
    return " + ".join([build.precision, *kv, *adapters])


def _measured(build: CertifiedBuild) -> tuple[str, ...]:
    found = build.certificate
    if found is None:
        return (*("-",) * 6, "not certified: bestiary setup measures it")
    parity: tuple[str, ...] = ("-",) * 3
    speed: tuple[str, ...] = ("-",) * 3
    if found.parity is not None:
        one = found.parity
        perplexity = f"{one.perplexity:.2f} ({one.reference_perplexity:.2f})"
        parity = (f"{one.kl:.5f}", f"{one.top1:.1%}", perplexity)
    if found.speed is not None:
        numbers = (found.speed.decode_1, found.speed.decode_16, found.speed.prefill)
        speed = tuple("-" if number is None else f"{number:.0f}" for number in numbers)
    if found.parity is None:
        return *parity, *speed, f"not certified: {found.not_certified}"
    return *parity, *speed, f"{found.made_at[:10]}, {found.cpu}"
