"""What an answer has to match for its tool calls to be right, in Lark's language.

The frame of a call is literal, and its arguments match the tool's schema: a small model
that has never seen a tool writes a valid call so. Text only, compiled elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from bestiary.schemas.text import Tool
from deployments.text.grammars import with_options
from deployments.text.tools.tool_format import CallSyntax

MOST_CALLS = 16  # in one answer: a model that cannot stop calling is stopped
NO_PARAMETERS: dict[str, object] = {
    "type": "object",
    "properties": {},
    "additionalProperties": False,
}
ANY_PARAMETERS: dict[str, object] = {"type": "object"}

# A marker -> the id of the token that it is in this model's vocabulary, where it is a
# token that grammars have to name; None: it is text.
MarkerToken = Callable[[str], int | None]


def calls_only(
    syntax: CallSyntax,
    tools: Sequence[Tool],
    parallel: bool,
    token: MarkerToken,
    *,
    hold_all: bool,
) -> str:
    """One call, or several where `parallel`, and nothing else.

    `hold_all` tools to their schemas, and not the strict ones alone.
    """
    several = _several(syntax) if parallel else "call"
    return "\n".join((f"start: {several}", *_call_rules(syntax, tools, token, hold_all=hold_all)))


def calls_or_text(
    syntax: CallSyntax, tools: Sequence[Tool], parallel: bool, token: MarkerToken
) -> str:
    """An answer that may call tools; the calls of `strict` ones are held to their schema."""
    rules = _call_rules(syntax, tools, token, hold_all=False)
    if not syntax.opening_marker:
        # Nothing marks a call: what begins like JSON is one.
        several = _several(syntax) if parallel else "call"
        return "\n".join((f"start: {several} | TEXT?", r"TEXT: /[^{\[\s](.|\n)*/", *rules))
    # Text up to the marker, lazily: with the marker a call begins, and nothing else may follow.
    marker = token(syntax.opening_marker)
    head = (
        f"head[lazy]: /(.|\\n)*/ {_literal(syntax.opening_marker)}"
        if marker is None
        else f"head: TEXT? <[{marker}]>\nTEXT: /(.|\\n)+/"
    )
    often = f"{{0,{MOST_CALLS}}}" if parallel else "?"
    rest = f"(head rest){often} tail"
    return "\n".join((f"start: {rest}", head, "tail: /(.|\\n)*/", *rules))


def _several(syntax: CallSyntax) -> str:
    more = f"({_literal(syntax.between)} call){{0,{MOST_CALLS - 1}}}"
    if not syntax.opens_list:
        return f"call {more}"
    return f"call | {_literal(syntax.opens_list)} call {more} {_literal(syntax.closes_list)}"


def _call_rules(
    syntax: CallSyntax, tools: Sequence[Tool], token: MarkerToken, hold_all: bool
) -> list[str]:
    """`call`, and `rest`, which is a call without its opening marker."""
    opening = _marker(syntax.opening_marker, token)
    closing = _marker(syntax.closing_marker, token)
    padding = _literal(syntax.padding)
    places = range(len(tools))
    return [
        f"call: {opening} rest",
        f"rest: {padding} json {padding} {closing}",
        "json: " + " | ".join(f"json_{place}" for place in places),
        *(f"json_{place}: {_json_rule(syntax, tools[place], hold_all)}" for place in places),
    ]


def _json_rule(syntax: CallSyntax, tool: Tool, hold_all: bool) -> str:
    # The schema is a document of its own here, so that `#/$defs/...` finds what it names.
    frame = json.dumps({"name": tool.name})[:-1] + f', "{syntax.arguments_key}": '
    schema = json.dumps(arguments_schema(tool) if hold_all or tool.strict else _any())
    return f"{_literal(frame)} %json {schema} {_literal('}')}"


def arguments_schema(tool: Tool) -> object:
    """Of the arguments of one call. No `parameters` are no arguments, as OpenAI has it."""
    given = NO_PARAMETERS if tool.parameters is None else tool.parameters
    if "type" not in given and "$ref" not in given:
        given = {"type": "object", **given}
    return with_options(given, tool.strict)


def _any() -> object:
    return with_options(ANY_PARAMETERS, strict=False)


def _marker(marker: str, token: MarkerToken) -> str:
    found = token(marker) if marker else None
    return _literal(marker) if found is None else f"<[{found}]>"


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False) if text else ""
