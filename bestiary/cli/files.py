"""`bestiary files`: what the platform keeps for jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from bestiary.cli.connected import connected
from bestiary.cli.image_files import make_way
from bestiary.cli.screen import console, errors
from bestiary.cli.tune_options import AsJson
from bestiary.cli.tune_output import as_json_line
from bestiary.cli.tune_starting import upload as upload_with_bar
from bestiary.cli.tune_tables import file_table, moment, report_table, size

app = typer.Typer(help="Files: training data, results of jobs.", no_args_is_help=True)
File = Annotated[str, typer.Argument(help="Its id: file-...", show_default=False)]


@app.command("list")
def list_files(
    context: typer.Context,
    purpose: Annotated[
        str | None, typer.Option(help="Only of this: fine-tune, fine-tune-results, ...")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the files, newest first.

    Example: bestiary files list --purpose fine-tune
    """
    table = Table("file", "name", "purpose", "size", "examples", "uploaded", box=None)
    with connected(context.obj) as client:
        for file in client.files.list(purpose=purpose):
            if as_json:
                print(as_json_line(file))
                continue
            report = file.report
            examples = "-" if report is None else f"{report.examples:,} {report.format}"
            table.add_row(
                file.id,
                escape(file.filename),
                file.purpose,
                size(file.bytes),
                examples,
                moment(file.created_at),
            )
    if not as_json:
        console.print(table)


@app.command()
def upload(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(help="A file, or a folder of pictures.", exists=True)],
    purpose: Annotated[str, typer.Option(help="What it is for.")] = "fine-tune",
) -> None:
    """Upload a file and tell what is in it. Its id goes to stdout.

    Example: bestiary files upload tickets.jsonl
    """
    with connected(context.obj) as client:
        file = upload_with_bar(client, path, purpose)
    if file.report is not None:
        errors.print(report_table(file.report))
    print(file.id)


@app.command()
def show(context: typer.Context, file: File, as_json: AsJson = False) -> None:
    """Show one file, and what is in it.

    Example: bestiary files show file-1234
    """
    with connected(context.obj) as client:
        found = client.files.get(file)
    if as_json:
        print(as_json_line(found))
        return
    console.print(file_table(found))
    if found.report is not None:
        console.print(report_table(found.report))


@app.command()
def download(
    context: typer.Context,
    file: File,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to; else its own name, here.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file.")] = False,
) -> None:
    """Write a file to the disk, as it was uploaded.

    Example: bestiary files download file-1234 -o results.csv
    """
    with connected(context.obj) as client:
        # Its name comes from somebody else: no folders.
        target = output or Path(Path(client.files.get(file).filename).name)
        make_way([target], force)
        print(client.files.download(file, target))


@app.command()
def delete(context: typer.Context, file: File) -> None:
    """Delete a file. Refused while a job uses it.

    Example: bestiary files delete file-1234
    """
    with connected(context.obj) as client:
        client.files.delete(file)
    errors.print(f"deleted {escape(file)}")
