"""`bestiary summarize` and `translate`: through the SDK like any user.

Only what was written goes to stdout: one text is printed as it comes, several a line each.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from bestiary_client import Results, RewriteOptions, RewriteStream, Rewriting

from bestiary.cli.attention_grid import grid_width, print_grid
from bestiary.cli.connected import connected
from bestiary.cli.given_texts import lines_given, whole_given
from bestiary.cli.screen import console
from bestiary.cli.task_options import AsJson, Model, Texts, Truncate
from bestiary.cli.task_output import print_json, warn_of_cuts

MAX_BEAMS = 16
Whole = Annotated[
    list[str] | None, typer.Argument(help="Texts; without any: all that is piped in, as one.")
]
MaxTokens = Annotated[int | None, typer.Option(help="Most tokens to write.", min=1)]
Beams = Annotated[int | None, typer.Option(help="Over 1: beam search.", min=1, max=MAX_BEAMS)]
Temperature = Annotated[
    float | None, typer.Option(help="0 is greedy (or beams); over 0: sampling.", min=0, max=2)
]
Seed = Annotated[int | None, typer.Option(help="The same seed gives the same answer.")]


def summarize(
    context: typer.Context,
    texts: Whole = None,
    max_tokens: MaxTokens = None,
    num_beams: Beams = None,
    temperature: Temperature = None,
    seed: Seed = None,
    model: Model = "auto",
    truncate: Truncate = False,
    as_json: AsJson = False,
) -> None:
    """Sum up texts, or give them titles: what the model was made for.

    Example: bestiary summarize --truncate < article.txt
    """
    given = whole_given(texts)
    options = _options(model, truncate, max_tokens, num_beams, temperature, seed)
    with connected(context.obj) as client:
        if len(given) == 1 and not as_json:
            with client.stream_summarize(given[0], **options) as stream:
                _print_pieces(stream)
            return
        _print(client.summarize(given, **options), as_json)


def translate(
    context: typer.Context,
    texts: Texts = None,
    source: Annotated[str | None, typer.Option(help="Its language, for instance en.")] = None,
    target: Annotated[str | None, typer.Option(help="The other language, as fr.")] = None,
    attention: Annotated[
        bool, typer.Option("--attention", help="Show where the model looked for each word.")
    ] = False,
    max_tokens: MaxTokens = None,
    num_beams: Beams = None,
    temperature: Temperature = None,
    seed: Seed = None,
    model: Model = "auto",
    truncate: Truncate = False,
    as_json: AsJson = False,
) -> None:
    """Translate texts; --attention draws the source by the target.

    Example: bestiary translate "The house is small." --source en --target fr --attention
    """
    given = lines_given(texts)
    options = _options(model, truncate, max_tokens, num_beams, temperature, seed)
    with connected(context.obj) as client:
        if len(given) == 1 and not as_json and not attention:
            with client.stream_translate(
                given[0], source=source, target=target, **options
            ) as stream:
                _print_pieces(stream)
            return
        found = client.translate(
            given, return_attention=attention, source=source, target=target, **options
        )
        _print(found, as_json)


def _options(
    model: str,
    truncate: bool,
    max_tokens: int | None,
    num_beams: int | None,
    temperature: float | None,
    seed: int | None,
) -> RewriteOptions:
    return {
        "model": model,
        "truncate": truncate or None,
        "max_tokens": max_tokens,
        "num_beams": num_beams,
        "temperature": temperature,
        "seed": seed,
    }


def _print_pieces(stream: RewriteStream) -> None:
    """As they come."""
    try:
        for piece in stream:
            sys.stdout.write(piece)
            sys.stdout.flush()
    finally:  # a text that broke off ends its line too, before the error
        sys.stdout.write("\n")
        sys.stdout.flush()
    warn_of_cuts(one.truncated for one in stream.finish())


def _print(found: Results[Rewriting], as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    _print_each(found)
    warn_of_cuts(one.truncated for one in found)


def _print_each(found: Sequence[Rewriting]) -> None:
    for one in found:
        print(one.text)
        if one.attention is not None:
            drawn = one.attention.heat(width=grid_width(console))
            print_grid(console, "each written row looks at the columns of the source", drawn)
