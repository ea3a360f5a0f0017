"""Llama 3's way: the bare JSON of a call, its arguments called `parameters`.

https://www.llama.com/docs/model-cards-and-prompt-formats/llama3_1/#json-based-tool-calling.
Several calls are separated by `; `, and `<|python_tag|>` may come first.
"""

from __future__ import annotations

from deployments.text.tools.bare_json import BareJsonReader
from deployments.text.tools.tool_format import CallSyntax, ToolFormat

LLAMA3_JSON = ToolFormat(
    name="llama3_json",
    syntax=CallSyntax(arguments_key="parameters", between="; "),
    reader=lambda names: BareJsonReader(names, between=";", prefix="<|python_tag|>"),
)
