"""Parity certificates of encoders as a table, for people."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table

from bestiary.garden.encoder_certificate import CertifiedEncoder, EncoderCertificate

MEGABYTE = 1e6
COLUMNS = ("MB", "mean error", "max error", "heads", "sentences x1", "sentences x32")


def encoder_certificate_table(builds: Iterable[CertifiedEncoder]) -> Table:
    table = Table("build", title="builds, against torch in float32", title_justify="left", box=None)
    for column in COLUMNS:
        table.add_column(column, justify="right")
    table.add_column("measured")
    table.caption = (
        "errors are 1 - cosine of embeddings; heads: how far probability moves, and first choices "
        "that are the same; speeds in sentences/s"
    )
    table.caption_justify = "left"
    for build in builds:
        table.add_row(
            build.precision, f"{build.bytes / MEGABYTE:.0f}", *_measured(build.certificate)
        )
    return table


def _measured(found: EncoderCertificate | None) -> tuple[str, ...]:
    if found is None:
        return (*("-",) * 5, "not certified: bestiary setup measures it")
    speed: tuple[str, ...] = ("-", "-")
    if found.speed is not None:
        speed = (f"{found.speed.batch_1:.0f}", f"{found.speed.batch_32:.0f}")
    if found.parity is None:
        return "-", "-", "-", *speed, f"not certified: {found.not_certified}"
    heads = [
        f"{name} {head.mean_shift:.4f}, {head.top1:.1%}"
        for name, head in found.parity.heads.items()
    ]
    return (
        f"{found.parity.mean_cosine_error:.6f}",
        f"{found.parity.max_cosine_error:.6f}",
        "\n".join(heads) or "-",
        *speed,
        f"{found.made_at[:10]}, {found.cpu}",
    )
