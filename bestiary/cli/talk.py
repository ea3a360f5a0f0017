"""`bestiary chat`, `complete`, `embed`: the platform in use, through the SDK like any user.

Only the answer goes to stdout, so that it can be piped; all else goes to stderr.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from bestiary_client import (
    ApiError,
    Bestiary,
    ChatOptions,
    Choice,
    CompleteOptions,
    LatencyReceipt,
    Message,
    Pooling,
    TextOptions,
    TextStream,
)
from rich.markup import escape
from rich.table import Table

from bestiary.cli import decoding
from bestiary.cli.connected import connected
from bestiary.cli.screen import console, errors
from bestiary.errors import InvalidRequest

Model = Annotated[str, typer.Option(help="A tier, auto, an alias or a model.")]
Temperature = Annotated[
    float | None, typer.Option(help="0 is greedy; default: the model's own.", min=0, max=2)
]
MaxTokens = Annotated[int, typer.Option(help="Most tokens to write.", min=1)]
Seed = Annotated[int | None, typer.Option(help="The same seed gives the same answer.")]
Strict = Annotated[bool, typer.Option("--strict", help="No other tier may stand in.")]
ShowReceipt = Annotated[bool, typer.Option("--receipt", help="Show where the time went.")]
CHAT_MAX_TOKENS = 512
COMPLETE_MAX_TOKENS = 64
BAR_WIDTH = 40  # characters
STAGES = ("gateway", "routing", "queue", "prefill", "decode", "framework")


def chat(
    context: typer.Context,
    message: Annotated[
        str | None, typer.Argument(help="Without it: a conversation, or what is piped in.")
    ] = None,
    model: Model = "gecko",
    system: Annotated[str | None, typer.Option(help="Instructions that come first.")] = None,
    temperature: Temperature = None,
    max_tokens: MaxTokens = CHAT_MAX_TOKENS,
    seed: Seed = None,
    min_p: decoding.MinP = None,
    logit_bias: decoding.LogitBias = None,
    any_json: decoding.Json = False,
    json_schema: decoding.JsonSchema = None,
    regex: decoding.Regex = None,
    grammar: decoding.Grammar = None,
    tools: decoding.Tools = None,
    tool_choice: decoding.ToolChosen = None,
    one_call: decoding.OneCall = False,
    logprobs: decoding.Logprobs = None,
    strict: Strict = False,
    receipt: ShowReceipt = False,
) -> None:
    """Ask a model; the answer is printed as it is written. Ctrl-D ends a conversation.

    What the model wants to have called is printed as JSON, a line for each call.
    """
    options: ChatOptions = {
        **_options(model, temperature, max_tokens, seed, strict),
        "min_p": min_p,
        "logit_bias": decoding.biases(logit_bias),
        "response_format": decoding.response_format(any_json, json_schema, regex, grammar),
        "tools": decoding.tools_of(tools),
        "tool_choice": decoding.choice_of(tool_choice),
        "parallel_tool_calls": False if one_call else None,
        "logprobs": logprobs,
    }
    history: list[Message] = [{"role": "system", "content": system}] if system else []
    if message is None and not sys.stdin.isatty():
        message = _piped_in()
    with connected(context.obj) as client:
        if message is None:
            _converse(client, history, options, receipt)
        else:
            history.append({"role": "user", "content": message})
            with client.stream_chat(history, **options) as stream:
                _print_answer(stream, receipt)


def complete(
    context: typer.Context,
    prompt: Annotated[str, typer.Argument(help="A text to go on with.")],
    model: Model = "gecko",
    temperature: Temperature = None,
    max_tokens: MaxTokens = COMPLETE_MAX_TOKENS,
    seed: Seed = None,
    min_p: decoding.MinP = None,
    logit_bias: decoding.LogitBias = None,
    any_json: decoding.Json = False,
    json_schema: decoding.JsonSchema = None,
    regex: decoding.Regex = None,
    grammar: decoding.Grammar = None,
    best_of: decoding.BestOf = None,
    echo: decoding.Echo = False,
    logprobs: decoding.Logprobs = None,
    strict: Strict = False,
    receipt: ShowReceipt = False,
) -> None:
    """Continue a text, without the chat template."""
    options: CompleteOptions = {
        **_options(model, temperature, max_tokens, seed, strict),
        "min_p": min_p,
        "logit_bias": decoding.biases(logit_bias),
        "response_format": decoding.response_format(any_json, json_schema, regex, grammar),
        "best_of": best_of,
        "echo": echo or None,
        "logprobs": logprobs,
    }
    with connected(context.obj) as client:
        if best_of is not None and best_of > 1:  # known at its end only
            answer = client.complete(prompt, **options)
            print(answer.text)
            _print_more(answer.choices[0], answer.receipt if receipt else None)
            return
        with client.stream_complete(prompt, **options) as stream:
            _print_answer(stream, receipt)


def embed(
    context: typer.Context,
    texts: Annotated[list[str], typer.Argument(help="One text, or several to compare.")],
    model: Model = "auto",
    strict: Strict = False,
    pooling: Annotated[
        Pooling | None,
        typer.Option(help="How a vector is made of the tokens'; default: the model's own way."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the vectors only.")] = False,
) -> None:
    """Embed texts: one vector each, of unit length; several are compared with each other.

    Example: bestiary embed "a cat" "a kitten" --pooling cls
    """
    with connected(context.obj) as client:
        found = client.embed(texts, model=model, strict=strict, pooling=pooling)
    if as_json:
        print(json.dumps(found.vectors))
        return
    dimensions = len(found[0])
    if len(found) == 1:
        numbers = " ".join(f"{number:+.4f}" for number in found[0][:8])
        console.print(f"{dimensions} dimensions by {found.model}: {numbers} …", soft_wrap=True)
        return
    console.print(f"{dimensions} dimensions by {found.model}; cosine similarity of each pair:")
    console.print(_similarities(texts, found))


def _options(
    model: str, temperature: float | None, max_tokens: int, seed: int | None, strict: bool
) -> TextOptions:
    return {
        "model": model,
        "temperature": temperature,
        "max_tokens": max_tokens,
        "seed": seed,
        "strict": strict,
    }


def _converse(
    client: Bestiary, history: list[Message], options: ChatOptions, receipt: bool
) -> None:
    """Turn by turn until the end of input. A refused turn is forgotten and may be said anew."""
    errors.print(f"[dim]Talking to {escape(str(options['model']))}. Ctrl-D ends it.[/dim]")
    while (said := _read_line()) is not None:
        if not said.strip():
            continue
        asked: list[Message] = [*history, {"role": "user", "content": said}]
        try:
            with client.stream_chat(asked, **options) as stream:
                _print_answer(stream, receipt)
        except ApiError as error:
            errors.print(f"[red]error:[/red] {escape(str(error))}", soft_wrap=True)
            continue
        history[:] = [*asked, {"role": "assistant", "content": stream.text}]


def _read_line() -> str | None:
    """None at the end of input."""
    try:
        return input("> ")
    except EOFError:
        return None


def _piped_in() -> str:
    """All of standard input is one message."""
    text = sys.stdin.read().strip()
    if not text:
        raise InvalidRequest("there is no message: give one, or pipe one in", "message")
    return text


def _print_answer(stream: TextStream, receipt: bool) -> None:
    """As it comes; the receipt goes to stderr."""
    try:
        for delta in stream:
            sys.stdout.write(delta)
            sys.stdout.flush()
    finally:  # an answer that broke off ends its line too, before the error
        if stream.text or not stream.tool_calls:
            sys.stdout.write("\n")
        sys.stdout.flush()
    answer = stream.finish()
    _print_more(answer.choices[0], stream.receipt if receipt else None)


def _print_more(choice: Choice, receipt: LatencyReceipt | None) -> None:
    """Calls are a part of the answer; what is about it goes to stderr."""
    for call in choice.tool_calls:
        print(json.dumps({"name": call.name, "arguments": call.arguments}, ensure_ascii=False))
    if choice.logprobs:
        errors.print(decoding.scores(choice.logprobs))
    if receipt is not None:
        errors.print(_bars(receipt))


def _bars(receipt: LatencyReceipt) -> Table:
    """A bar as long as `BAR_WIDTH` is the whole time."""
    answered_by = f"{receipt.model} ({receipt.route_reason})"
    table = Table("stage", "ms", "", box=None, title=escape(answered_by), title_justify="left")
    table.columns[1].justify = "right"
    for stage in STAGES:
        taken_ms: float = getattr(receipt, f"{stage}_ms")
        share = taken_ms / receipt.total_ms if receipt.total_ms else 0.0
        table.add_row(stage, f"{taken_ms:,.1f}", "█" * round(share * BAR_WIDTH))
    table.add_row("total", f"{receipt.total_ms:,.1f}", style="bold")
    return table


def _similarities(texts: Sequence[str], vectors: Sequence[Sequence[float]]) -> Table:
    """Every text with every other; as the vectors are of unit length, a dot product each."""
    table = Table("", "", *(str(number + 1) for number in range(len(texts))), box=None)
    for number, (text, vector) in enumerate(zip(texts, vectors, strict=True), 1):
        row = (sum(a * b for a, b in zip(vector, other, strict=True)) for other in vectors)
        table.add_row(str(number), escape(text[:40]), *(f"{cosine:.2f}" for cosine in row))
    return table
