"""What a request's answers have to match, and how tool calls are read out of them.

Puts `response_format` and tools together: where a call is required nothing else counts,
and where it is free the answer is a call or what the response format demands.
"""

from __future__ import annotations

from collections.abc import Callable

from bestiary.errors import InvalidRequest, UnsupportedParameter
from bestiary.schemas.text import TextRequest, Tool, ToolUse
from deployments.text.constraints import CompiledGrammar, GrammarCompiler
from deployments.text.grammars import alone, either, grammar_of, lark
from deployments.text.tools.call_grammar import arguments_schema, calls_only, calls_or_text
from deployments.text.tools.hermes import HERMES
from deployments.text.tools.reader import ToolReading
from deployments.text.tools.tool_format import ToolFormat


class Obligations:
    """Of one model. Thread-safe."""

    def __init__(
        self,
        grammars: GrammarCompiler | None,
        tool_format: ToolFormat = HERMES,
        id_of: Callable[[str], int | None] = lambda _: None,
    ) -> None:
        """`grammars` None: nothing can be enforced. `id_of` a token by its name."""
        self._grammars = grammars
        self._format = tool_format
        self._id_of = id_of

    def tool_reading(self, request: TextRequest) -> ToolReading | None:
        use = request.tool_use
        if use is None:
            return None
        return ToolReading(self._format, frozenset(tool.name for tool in use.tools), use.parallel)

    def grammar(self, request: TextRequest) -> CompiledGrammar | None:
        """None where anything goes. Raises InvalidRequest, UnsupportedParameter."""
        found = self._source(request)
        if found is None:
            return None
        source, param = found
        try:
            return self._enforcer(param).compile(source, param, request.candidates)
        except InvalidRequest:
            self._name_the_bad_tool(request.tool_use)
            raise

    def _source(self, request: TextRequest) -> tuple[str, str] | None:
        """The grammar's, and the caller's field that it comes from; None where anything goes."""
        use, constraint = request.tool_use, request.constraint
        if use is None:
            return None if constraint is None else (alone(grammar_of(constraint)), constraint.param)
        syntax, marker, held = self._format.syntax, self._marker, _held(use)
        if use.required:
            parallel = use.parallel and use.only is None
            calls = calls_only(syntax, held, parallel, marker, hold_all=True)
            return alone(lark(calls)), "tools"
        if constraint is not None:
            calls = calls_only(syntax, use.tools, use.parallel, marker, hold_all=False)
            return either(grammar_of(constraint), lark(calls)), constraint.param
        if held:
            answer = calls_or_text(syntax, use.tools, use.parallel, marker)
            return alone(lark(answer)), "tools"
        return None

    def _name_the_bad_tool(self, use: ToolUse | None) -> None:
        """Raises InvalidRequest for the first schema that is bad by itself."""
        held = () if use is None else _held(use)
        for place, tool in enumerate(() if use is None else use.tools):
            if tool in held:
                param = f"tools[{place}].function.parameters"
                schema = alone({"json_schema": arguments_schema(tool)})
                self._enforcer(param).compile(schema, param)

    def _marker(self, marker: str) -> int | None:
        """The marker's token, where it is one that grammars have to name."""
        token = self._id_of(marker)
        special = token is not None and self._enforcer("tools").is_special(token)
        return token if special else None

    def _enforcer(self, param: str) -> GrammarCompiler:
        if self._grammars is None:
            message = "this model's tokenizer does not allow answers to be constrained"
            raise UnsupportedParameter(message, param)
        return self._grammars


def _held(use: ToolUse) -> tuple[Tool, ...]:
    """The tools whose calls match their schema: the strict ones, and all that are required."""
    if use.required:
        return tuple(tool for tool in use.tools if use.only in (None, tool.name))
    return tuple(tool for tool in use.tools if tool.strict)
