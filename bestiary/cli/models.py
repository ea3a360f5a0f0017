"""`bestiary models`: the garden."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from bestiary.cli.certificates import certificate_table
from bestiary.cli.context import Context
from bestiary.cli.encoder_certificates import encoder_certificate_table
from bestiary.cli.screen import ScreenProgress, console
from bestiary.cli.up import reload_running
from bestiary.garden import Family, InstalledModel, ModelCard
from bestiary.garden.tasks import tasks_of
from bestiary.profile.bindings import bind_tier, unbind_card, unbind_tier
from bestiary.profile.load import load_profile
from bestiary.schemas.routing import Tier

COLUMNS = ("card", "family", "parameters", "licence", "installed", "tiers", "tasks")

app = typer.Typer(help="The Model Garden: list, show, pull, add, remove.", no_args_is_help=True)


@app.command("list")
def list_models(context: typer.Context) -> None:
    """Show every card, its tasks, whether it is installed, and the tiers it is bound to."""
    ctx: Context = context.obj
    bound = _tiers_by_card(ctx)
    table = Table(*COLUMNS, box=None)
    for card in ctx.garden.cards():
        table.add_row(
            card.id,
            card.family,
            f"{card.parameters / 1e6:,.0f} M",
            card.license,
            "[green]yes[/green]" if ctx.garden.is_installed(card.id) else "no",
            " ".join(bound.get(card.id, ())),
            " ".join((*tasks_of(card), *card.languages)),
        )
    console.print(table)


@app.command()
def show(context: typer.Context, card: Annotated[str, typer.Argument(help="A card's id.")]) -> None:
    """Show one card: sources, licence, provenance, what is installed, and its builds."""
    ctx: Context = context.obj
    found = ctx.garden.card(card)
    for name, value in found.model_dump(mode="json", exclude={"sources"}).items():
        console.print(f"[bold]{name:>16}[/bold]  {value}", soft_wrap=True)
    for source in found.sources:
        console.print(f"[bold]{'source':>16}[/bold]  {source.url}", soft_wrap=True)
    if ctx.garden.is_installed(card):
        installed = ctx.garden.installed(card)
        console.print(f"[bold]{'installed':>16}[/bold]  {installed.path}", soft_wrap=True)
        console.print(f"[bold]{'revision':>16}[/bold]  {installed.revision}")
        _show_builds(ctx, installed)
    else:
        console.print(f"[bold]{'installed':>16}[/bold]  no: bestiary models pull {card}")


@app.command()
def pull(
    context: typer.Context,
    cards: Annotated[list[str] | None, typer.Argument(help="Cards' ids.")] = None,
    profile: Annotated[
        str | None, typer.Option(help="A profile's name or file: all cards that it names.")
    ] = None,
) -> None:
    """Install weights: download, check every sha256, convert once."""
    ctx: Context = context.obj
    wanted = list(cards or ())
    if profile is not None:
        deployments = load_profile(profile, home=ctx.settings.home).deployments.values()
        named = [deployment.card for deployment in deployments]
        named += [one.text.draft_card for one in deployments if one.text and one.text.draft_card]
        wanted += [card for card in named if isinstance(card, str)]
    for card in dict.fromkeys(wanted):
        installed = ctx.garden.install(card, ScreenProgress())
        console.print(f"[green]installed[/green] {card} in {installed.path}", soft_wrap=True)


@app.command()
def add(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(help="A GGUF file, or a folder with safetensors.")],
    tier: Annotated[Tier | None, typer.Option(help="Bind this tier to it.")] = None,
    card_id: Annotated[str | None, typer.Option("--id", help="The new card's id.")] = None,
    license_name: Annotated[str, typer.Option("--license", help="Its licence.")] = "unknown",
) -> None:
    """Serve a model of your own: makes a card, installs it, and binds a tier to it."""
    ctx: Context = context.obj
    tiers = (tier.value,) if tier else ()
    card = ctx.garden.add(
        path, card_id=card_id, tiers=tiers, license=license_name, progress=ScreenProgress()
    )
    console.print(f"[green]added[/green] {card.id}: {_summary(card)}")
    if tier is not None:
        _bind(ctx, card.id, tier)


@app.command()
def bind(
    context: typer.Context,
    card: Annotated[str, typer.Argument(help="A card's id.")],
    tier: Annotated[Tier, typer.Argument(help="The tier that it answers from now on.")],
) -> None:
    """Have a card of the garden answer a tier, over what the profile says."""
    ctx: Context = context.obj
    _bind(ctx, ctx.garden.card(card).id, tier)


@app.command()
def unbind(context: typer.Context, tier: Annotated[Tier, typer.Argument()]) -> None:
    """Let the profile decide about a tier again."""
    ctx: Context = context.obj
    unbind_tier(ctx.settings.home, tier)
    console.print(f"{tier} is the profile's again{_told(reload_running(ctx))}")


@app.command()
def remove(context: typer.Context, card: Annotated[str, typer.Argument()]) -> None:
    """Delete a card's installed files, and the card itself where it is your own.

    Tiers that were bound to it are the profile's again.
    """
    ctx: Context = context.obj
    freed = unbind_card(ctx.settings.home, card)
    told = _told(reload_running(ctx)) if freed else ""
    ctx.garden.remove(card)
    console.print(f"removed {card}")
    for tier in freed:
        console.print(f"{tier} is the profile's again{told}")


@app.command()
def verify(context: typer.Context, card: Annotated[str, typer.Argument()]) -> None:
    """Check every installed file of a card against its sha256."""
    context.obj.garden.verify(card)
    console.print(f"{card}: every file is as it was installed")


def _show_builds(ctx: Context, model: InstalledModel) -> None:
    """A table of the parity certificates; one for each build that exists."""
    table = _certificates(ctx, model)
    if table is not None and not table.rows:
        console.print(f"[bold]{'builds':>16}[/bold]  none yet: bestiary setup makes them")
    elif table is not None:
        console.print(table)


def _certificates(ctx: Context, model: InstalledModel) -> Table | None:
    """None for a family whose builds have none."""
    # By name, as the profile names families: `bestiary` imports no deployment.
    home, revision = ctx.settings.home, model.revision
    if model.card.family is Family.TEXT:
        module = importlib.import_module("deployments.kernels.certificate_file")
        return certificate_table(module.decoder_builds(home, revision))
    if model.card.family is Family.ENCODER:
        module = importlib.import_module("deployments.kernels.encoder_certificate_file")
        return encoder_certificate_table(module.encoder_builds(home, revision))
    if model.card.family is Family.SEQ2SEQ:
        module = importlib.import_module("deployments.kernels.seq2seq_certify")
        return certificate_table(module.seq2seq_builds(home, revision))
    return None


def _bind(ctx: Context, card: str, tier: Tier) -> None:
    bind_tier(ctx.settings.home, tier, card)
    console.print(f"{tier} is now {card}{_told(reload_running(ctx))}")


def _told(running: bool) -> str:
    return " (being deployed)" if running else ""


def _summary(card: ModelCard) -> str:
    kind = "instruct" if card.instruct else "base"
    size = f"{card.parameters / 1e6:,.0f} M parameters"
    return f"{card.architecture}, {size}, {card.context_length} tokens, {kind}"


def _tiers_by_card(ctx: Context) -> dict[str, tuple[str, ...]]:
    profile = ctx.profile()
    found: dict[str, tuple[str, ...]] = {}
    for tier, binding in profile.tiers.items():
        card = profile.deployments[binding.deployment].card
        if isinstance(card, str):
            found[card] = (*found.get(card, ()), tier.value)
    return found
