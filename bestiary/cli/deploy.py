"""`bestiary deploy`: the same profile on Kubernetes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bestiary.cli.context import Context
from bestiary.deploy import parse_options
from bestiary.deploy import render as render_manifests
from bestiary.profile.yaml_source import parse_yaml

app = typer.Typer(help="Kubernetes: the profile as a KubeRay RayService.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Kubernetes: the profile as a KubeRay RayService."""


@app.command()
def render(
    context: typer.Context,
    output: Annotated[Path | None, typer.Option("-o", help="A file; default: stdout.")] = None,
    namespace: Annotated[str | None, typer.Option(help="Kubernetes namespace.")] = None,
    image: Annotated[str | None, typer.Option(help="Image of the CPU pods.")] = None,
    gpu_image: Annotated[str | None, typer.Option(help="Image of the GPU pods.")] = None,
    options: Annotated[
        Path | None, typer.Option(help="YAML with all other options; docs/kubernetes.md.")
    ] = None,
) -> None:
    """Print the manifests: bestiary --profile gpu deploy render | kubectl apply --server-side -f -

    Secrets are referred to, never written.
    """
    ctx: Context = context.obj
    given = parse_yaml(options.read_text(), str(options)).data if options else {}
    assert isinstance(given, dict)
    flags = {"namespace": namespace, "image": image, "gpu_image": gpu_image}
    chosen = {**given, **{name: value for name, value in flags.items() if value is not None}}
    text = render_manifests(ctx.profile(), ctx.applications(), parse_options(chosen))
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text)
