"""Options of `chat` and `complete` that say how an answer is written, and what they become."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, cast

import typer
from bestiary_client import ResponseFormat, TokenLogprob, Tool, ToolChoice
from rich.markup import escape
from rich.table import Table

from bestiary.errors import InvalidRequest

MinP = Annotated[
    float | None,
    typer.Option(help="Least share of the likeliest token's probability.", min=0, max=1),
]
LogitBias = Annotated[
    list[str] | None,
    typer.Option(help="TOKEN=BIAS, -100 (never) to 100 (nothing else); may be given again."),
]
Json = Annotated[bool, typer.Option("--json", help="The answer is a JSON object.")]
JsonSchema = Annotated[
    Path | None, typer.Option(help="A file: the JSON schema of the answer.", dir_okay=False)
]
Regex = Annotated[str | None, typer.Option(help="What the whole answer matches.")]
Grammar = Annotated[
    Path | None, typer.Option(help="A file: the answer's grammar, in Lark.", dir_okay=False)
]
Logprobs = Annotated[
    int | None,
    typer.Option(help="Show tokens' logprobs, with so many likeliest ones.", min=0, max=20),
]
Tools = Annotated[
    Path | None,
    typer.Option(help="A JSON file: a list of tools as OpenAI's API takes it.", dir_okay=False),
]
ToolChosen = Annotated[
    str | None, typer.Option("--tool-choice", help="none, auto, required, or a tool's name.")
]
OneCall = Annotated[bool, typer.Option("--one-call", help="No more than one tool call.")]
BestOf = Annotated[
    int | None, typer.Option(help="Write so many, show the likeliest.", min=1, max=20)
]
Echo = Annotated[bool, typer.Option("--echo", help="Repeat the prompt, with its logprobs.")]


def response_format(
    any_json: bool, schema: Path | None, regex: str | None, grammar: Path | None
) -> ResponseFormat | None:
    """Raises InvalidRequest where more than one is given, or a file is no good."""
    given = [any_json, schema is not None, regex is not None, grammar is not None]
    if sum(given) > 1:
        raise InvalidRequest("give one of --json, --json-schema, --regex and --grammar")
    if any_json:
        return {"type": "json_object"}
    if schema is not None:
        found = _read_json(schema)
        if not isinstance(found, dict):
            raise InvalidRequest(f"{schema} holds no JSON object")
        return {"type": "json_schema", "json_schema": {"name": "answer", "schema": found}}
    if regex is not None:
        return {"type": "regex", "regex": regex}
    return None if grammar is None else {"type": "grammar", "grammar": _read(grammar)}


def biases(given: Sequence[str] | None) -> dict[int, float] | None:
    """Raises InvalidRequest."""
    found: dict[int, float] = {}
    for one in given or ():
        token, _, bias = one.partition("=")
        try:
            found[int(token)] = float(bias)
        except ValueError as error:
            raise InvalidRequest(f"--logit-bias {one!r} is not TOKEN=BIAS") from error
    return found or None


def tools_of(path: Path | None) -> list[Tool] | None:
    """Raises InvalidRequest; what is in the list the platform checks."""
    if path is None:
        return None
    found = _read_json(path)
    if not isinstance(found, list):
        raise InvalidRequest(f"{path} holds no JSON list")
    return found


def choice_of(given: str | None) -> ToolChoice | None:
    if given is None:
        return None
    if given in ("none", "auto", "required"):
        return cast("ToolChoice", given)
    return {"type": "function", "function": {"name": given}}


def scores(tokens: Sequence[TokenLogprob]) -> Table:
    """One row per token: its logprob, and what else was likely there."""
    table = Table("token", "logprob", "likeliest", box=None)
    table.columns[1].justify = "right"
    for one in tokens:
        likely = ", ".join(f"{other.token!r} {other.logprob:.2f}" for other in one.top)
        number = "" if one.logprob is None else f"{one.logprob:.3f}"
        table.add_row(escape(repr(one.token)), number, escape(likely))
    return table


def _read_json(path: Path) -> object:
    try:
        found: object = json.loads(_read(path))
    except ValueError as error:
        raise InvalidRequest(f"{path} is not JSON: {error}") from error
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"cannot read {path}: {error}") from error
