"""What an answer has to match, in llguidance's grammar language.

https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md (Lark's, extended)
and json_schema.md beside it. Text only: `constraints.py` compiles it.
"""

from __future__ import annotations

import json

from llguidance import LLMatcher

from bestiary.schemas.text import Constraint, ConstraintKind

# One space, or a new line and what indents it. JSON itself allows any amount, and small
# models that are not sure how to go on then write white space until max_tokens.
WHITESPACE = r"\x20|\n[\x20\t]{0,20}"

Grammar = dict[str, object]  # one entry of llguidance's list of grammars


def grammar_of(constraint: Constraint) -> Grammar:
    """Bad sources are found where it is compiled."""
    if constraint.kind is ConstraintKind.GRAMMAR:
        return lark(constraint.source)
    if constraint.kind is ConstraintKind.REGEX:
        (made,) = json.loads(LLMatcher.grammar_from_regex(constraint.source))["grammars"]
        return lark(made["lark_grammar"])
    return {"json_schema": with_options(json.loads(constraint.source), constraint.strict)}


def lark(source: str) -> Grammar:
    return {"lark_grammar": source}


def either(one: Grammar, other: Grammar) -> str:
    """The source of a grammar for whatever one of the two matches."""
    choice = lark("start: @one | @other")
    return _source([choice, {**one, "name": "one"}, {**other, "name": "other"}])


def alone(grammar: Grammar) -> str:
    return _source([grammar])


def with_options(schema: object, strict: bool) -> object:
    """The schema with how it is to be read, unless it says that itself.

    Not `strict`: keywords that cannot be enforced are left out rather than refused.
    """
    if isinstance(schema, bool):  # JSON Schema's "anything" and "nothing"
        schema = {} if schema else {"enum": []}
    if not isinstance(schema, dict):
        return schema
    own = schema.get("x-guidance")
    options = {"whitespace_pattern": WHITESPACE, "lenient": not strict}
    return {**schema, "x-guidance": {**options, **(own if isinstance(own, dict) else {})}}


def _source(grammars: list[Grammar]) -> str:
    return json.dumps({"grammars": grammars})
