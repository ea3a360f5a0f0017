"""What a request's answers have to match, and how tool calls are read out of them.

Puts `response_format` and tools together: where a call is required nothing else counts,
and where it is free the answer is a call or what the response format demands.
"""

from __future__ import annotations

from collections.abc import Callable

from bestiary.errors import UnsupportedParameter
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
        use, constraint = request.tool_use, request.constraint
        if use is not None and use.required:
            return self._compile(alone(lark(self._required_calls(use))), "tools")
        if use is not None and constraint is not None:
            calls = lark(self._free_calls(use))
            return self._compile(either(grammar_of(constraint), calls), constraint.param)
        if use is not None and any(tool.strict for tool in use.tools):
            return self._compile(alone(lark(self._calls_or_text(use))), "tools")
        if constraint is not None:
            return self._compile(alone(grammar_of(constraint)), constraint.param)
        return None

    def _required_calls(self, use: ToolUse) -> str:
        """Required calls match their tool's schema, strict or not."""
        tools = tuple(tool for tool in use.tools if use.only in (None, tool.name))
        self._check(use, tools)
        parallel = use.parallel and use.only is None
        return calls_only(self._format.syntax, tools, parallel, self._marker, hold_all=True)

    def _free_calls(self, use: ToolUse) -> str:
        self._check(use, _strict(use))
        syntax = self._format.syntax
        return calls_only(syntax, use.tools, use.parallel, self._marker, hold_all=False)

    def _calls_or_text(self, use: ToolUse) -> str:
        self._check(use, _strict(use))
        return calls_or_text(self._format.syntax, use.tools, use.parallel, self._marker)

    def _check(self, use: ToolUse, held: tuple[Tool, ...]) -> None:
        """Each schema for itself, so that a bad one is named."""
        for place, tool in enumerate(use.tools):
            if tool in held:
                param = f"tools[{place}].function.parameters"
                self._compile(alone({"json_schema": arguments_schema(tool)}), param)

    def _compile(self, grammar: str, param: str) -> CompiledGrammar:
        return self._enforcer(param).compile(grammar, param)

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


def _strict(use: ToolUse) -> tuple[Tool, ...]:
    return tuple(tool for tool in use.tools if tool.strict)
