"""Plain JSON: a call, or a list of calls. Mistral writes so, after a token without text."""

from __future__ import annotations

from deployments.text.tools.bare_json import BareJsonReader
from deployments.text.tools.tool_format import CallSyntax, ToolFormat

PLAIN_JSON = ToolFormat(
    name="plain_json",
    syntax=CallSyntax(arguments_key="arguments", between=", ", opens_list="[", closes_list="]"),
    reader=lambda names: BareJsonReader(names, between="[,]"),
)
