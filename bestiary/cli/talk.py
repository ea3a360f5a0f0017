"""`bestiary chat`, `complete`, `embed`: the platform in use, through the SDK like any user."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from bestiary_client import Message, Receipt, TextOptions, TextStream
from rich.table import Table

from bestiary.cli.context import Context
from bestiary.cli.screen import console, errors

Model = Annotated[str, typer.Option(help="A tier, auto, an alias or a model.")]
Temperature = Annotated[
    float | None, typer.Option(help="0 is greedy; default: the model's own.", min=0, max=2)
]
MaxTokens = Annotated[int | None, typer.Option(help="Most tokens to write.", min=1)]
Seed = Annotated[int | None, typer.Option(help="The same seed gives the same answer.")]
Strict = Annotated[bool, typer.Option(help="No other tier may stand in.")]
ShowReceipt = Annotated[bool, typer.Option("--receipt", help="Show where the time went.")]
CHAT_MAX_TOKENS = 512
BAR = 40


def chat(
    context: typer.Context,
    message: Annotated[str | None, typer.Argument(help="Without it: a conversation.")] = None,
    model: Model = "gecko",
    system: Annotated[str | None, typer.Option(help="Instructions that come first.")] = None,
    temperature: Temperature = None,
    max_tokens: MaxTokens = CHAT_MAX_TOKENS,
    seed: Seed = None,
    strict: Strict = False,
    receipt: ShowReceipt = False,
) -> None:
    """Ask a model; the answer is printed as it is written. Ctrl-D ends a conversation."""
    options = _options(model, temperature, max_tokens, seed, strict)
    history: list[Message] = [{"role": "system", "content": system}] if system else []
    if message is not None:
        _ask(context.obj, [*history, {"role": "user", "content": message}], options, receipt)
        return
    console.print(f"[dim]Talking to {model}. Ctrl-D ends it.[/dim]")
    while (said := _read_line()) is not None:
        history.append({"role": "user", "content": said})
        answer = _ask(context.obj, history, options, receipt)
        history.append({"role": "assistant", "content": answer})


def complete(
    context: typer.Context,
    prompt: Annotated[str, typer.Argument(help="A text to go on with.")],
    model: Model = "gecko",
    temperature: Temperature = None,
    max_tokens: MaxTokens = 64,
    seed: Seed = None,
    strict: Strict = False,
    receipt: ShowReceipt = False,
) -> None:
    """Continue a text, without the chat template."""
    options = _options(model, temperature, max_tokens, seed, strict)
    ctx: Context = context.obj
    with ctx.client() as client, client.stream_complete(prompt, **options) as stream:
        _show(stream, receipt)


def embed(
    context: typer.Context,
    texts: Annotated[list[str], typer.Argument(help="One text, or several to compare.")],
    model: Model = "embedding-gecko-001",
    as_json: Annotated[bool, typer.Option("--json", help="Print the vectors.")] = False,
) -> None:
    """Embed texts: one vector each, of unit length; several are compared with each other."""
    ctx: Context = context.obj
    with ctx.client() as client:
        vectors = client.embed(texts, model=model).vectors
    if as_json:
        print(json.dumps([list(vector) for vector in vectors]))
        return
    console.print(f"{len(vectors)} x {len(vectors[0])} dimensions")
    if len(vectors) == 1:
        console.print(" ".join(f"{number:+.4f}" for number in vectors[0][:8]) + " …")
    else:
        console.print(_similarities(texts, vectors))


def _options(
    model: str, temperature: float | None, max_tokens: int | None, seed: int | None, strict: bool
) -> TextOptions:
    options: TextOptions = {"model": model, "strict": strict}
    if temperature is not None:
        options["temperature"] = temperature
    if max_tokens is not None:
        options["max_tokens"] = max_tokens
    if seed is not None:
        options["seed"] = seed
    return options


def _ask(ctx: Context, messages: list[Message], options: TextOptions, receipt: bool) -> str:
    with ctx.client() as client, client.stream_chat(messages, **options) as stream:
        return _show(stream, receipt)


def _show(stream: TextStream, receipt: bool) -> str:
    """Prints the text as it comes; only the text goes to stdout."""
    text = ""
    for piece in stream.texts():
        text += piece
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")
    if receipt and stream.receipt is not None:
        errors.print(_bars(stream.receipt))
    return text


def _bars(receipt: Receipt) -> Table:
    table = Table("stage", "ms", "", box=None, title=f"{receipt.model}, {receipt.route_reason}")
    for stage in ("gateway", "routing", "queue", "prefill", "decode", "framework"):
        taken = float(getattr(receipt, f"{stage}_ms"))
        share = taken / receipt.total_ms if receipt.total_ms else 0.0
        table.add_row(stage, f"{taken:,.1f}", "█" * round(share * BAR))
    table.add_row("total", f"{receipt.total_ms:,.1f}", style="bold")
    return table


def _similarities(texts: Sequence[str], vectors: Sequence[Sequence[float]]) -> Table:
    """Cosine similarity of each pair; the vectors are of unit length."""
    table = Table("", *(str(number) for number in range(1, len(texts) + 1)), box=None)
    for number, (text, vector) in enumerate(zip(texts, vectors, strict=True), 1):
        row = (sum(a * b for a, b in zip(vector, other, strict=True)) for other in vectors)
        table.add_row(f"{number} {text[:40]}", *(f"{similarity:.2f}" for similarity in row))
    return table


def _read_line() -> str | None:
    """None at the end of input."""
    try:
        return input("> ")
    except EOFError:
        return None
