"""`bestiary image`: the commands of images, by what they are for."""

from __future__ import annotations

import typer

from bestiary.cli import image_asking, image_making

app = typer.Typer(
    help="Make, change and examine pictures. `bestiary models` tells which models do what.",
    no_args_is_help=True,
)
_MAKE, _CHANGE, _EXAMINE = "Make", "Change", "Examine"
app.command("generate", rich_help_panel=_MAKE)(image_making.generate)
app.command("sample", rich_help_panel=_MAKE)(image_making.sample)
app.command("edit", rich_help_panel=_CHANGE)(image_making.edit)
app.command("inpaint", rich_help_panel=_CHANGE)(image_making.inpaint)
app.command("upscale", rich_help_panel=_CHANGE)(image_making.upscale)
app.command("vary", rich_help_panel=_CHANGE)(image_making.vary)
app.command("complete", rich_help_panel=_CHANGE)(image_making.complete)
app.command("reconstruct", rich_help_panel=_EXAMINE)(image_asking.reconstruct)
app.command("interpolate", rich_help_panel=_EXAMINE)(image_asking.interpolate)
app.command("discriminate", rich_help_panel=_EXAMINE)(image_asking.discriminate)
app.command("likelihood", rich_help_panel=_EXAMINE)(image_asking.likelihood)
app.command("noise", rich_help_panel=_EXAMINE)(image_asking.noise)
app.command("trajectory", rich_help_panel=_EXAMINE)(image_asking.trajectory)
