"""Which answers a request's tools and response format allow, and which they do not."""

from __future__ import annotations

import pytest
from text_tokenizers import byte_tokenizer, compiler_for

from bestiary.errors import InvalidRequest, UnsupportedParameter
from bestiary.schemas.text import (
    ChatMessage,
    Constraint,
    ConstraintKind,
    TextRequest,
    Tool,
    ToolUse,
)
from deployments.text.constraints import GrammarCompiler
from deployments.text.obligations import Obligations
from deployments.text.tokenizer import TextTokenizer
from deployments.text.tools.formats import FORMATS, MARKERS
from deployments.text.tools.hermes import HERMES
from deployments.text.tools.tool_format import ToolFormat

TOKENIZERS = {
    "tags are text": byte_tokenizer(),
    "tags are tokens": byte_tokenizer(added=MARKERS),
    "tags are special tokens": byte_tokenizer(special=MARKERS, visible=MARKERS),
}
LOOK = Tool(
    name="look",
    parameters={
        "$defs": {"place": {"enum": ["sea", "sky"]}},
        "type": "object",
        "properties": {"at": {"$ref": "#/$defs/place"}},
        "required": ["at"],
        "additionalProperties": False,
    },
)
WAIT = Tool(name="wait")
STRICT = LOOK.model_copy(update={"strict": True})

SEA = '<tool_call>\n{"name": "look", "arguments": {"at": "sea"}}\n</tool_call>'
BARN = '<tool_call>\n{"name": "look", "arguments": {"at": "barn"}}\n</tool_call>'
NOTHING = '<tool_call>\n{"name": "wait", "arguments": {}}\n</tool_call>'


@pytest.fixture(scope="module", params=TOKENIZERS.values(), ids=TOKENIZERS)
def tokenizer(request: pytest.FixtureRequest) -> TextTokenizer:
    return request.param  # type: ignore[no-any-return]  # pytest's parameters have no type


@pytest.fixture(scope="module")
def compiler(tokenizer: TextTokenizer) -> GrammarCompiler:
    return compiler_for(tokenizer)


class Judge:
    """Says whether an answer would be allowed."""

    def __init__(
        self, tokenizer: TextTokenizer, compiler: GrammarCompiler, format: ToolFormat = HERMES
    ) -> None:
        self._tokenizer = tokenizer
        self._obligations = Obligations(compiler, format, tokenizer.id_of)

    def allows(self, answer: str, **request: object) -> bool:
        grammar = self._obligations.grammar(asked(**request))
        assert grammar is not None
        matcher = grammar.begin()
        for token in self._tokenizer.encode(answer, as_prompt=False):
            if not may_follow(matcher.mask(), token):
                return False
            matcher.accept(token)
        (end,) = self._tokenizer.end_ids
        return matcher.complete or may_follow(matcher.mask(), end)


def may_follow(mask: object, token: int) -> bool:
    return mask is not None and bool(mask[token // 8] >> (token % 8) & 1)  # type: ignore[index]


def asked(**fields: object) -> TextRequest:
    message = ChatMessage(role="user", content="Where?")
    return TextRequest.model_validate({"request_id": "r", "messages": (message,)} | fields)


def schema(source: str) -> Constraint:
    return Constraint(kind=ConstraintKind.JSON_SCHEMA, source=source)


@pytest.fixture
def judge(tokenizer: TextTokenizer, compiler: GrammarCompiler) -> Judge:
    return Judge(tokenizer, compiler)


@pytest.mark.parametrize(
    ("answer", "allowed"),
    [
        (SEA, True),
        (NOTHING, True),
        (f"{SEA}\n{NOTHING}", True),
        (BARN, False),  # a required call is held to its schema, strict or not
        ("I look.", False),
        (f"I look. {SEA}", False),
        ('<tool_call>\n{"name": "fly", "arguments": {}}\n</tool_call>', False),
        ('<tool_call>\n{"name": "wait", "arguments": {"a": 1}}\n</tool_call>', False),
        ("", False),
    ],
)
def test_a_required_answer_is_calls_and_nothing_else(
    judge: Judge, answer: str, allowed: bool
) -> None:
    use = ToolUse(tools=(LOOK, WAIT), required=True)
    assert judge.allows(answer, tool_use=use) is allowed


@pytest.mark.parametrize(("answer", "allowed"), [(SEA, True), (NOTHING, False), (SEA * 2, False)])
def test_a_named_tool_is_called_once(judge: Judge, answer: str, allowed: bool) -> None:
    use = ToolUse(tools=(WAIT, LOOK), required=True, only="look")
    assert judge.allows(answer, tool_use=use) is allowed


def test_where_calls_may_not_be_parallel_there_is_one(judge: Judge) -> None:
    use = ToolUse(tools=(LOOK, WAIT), required=True, parallel=False)
    assert judge.allows(SEA, tool_use=use)
    assert not judge.allows(f"{SEA}\n{NOTHING}", tool_use=use)


@pytest.mark.parametrize(
    ("answer", "allowed"),
    [
        ("I look.\n\nAnd see <b>", True),
        (SEA, True),
        (f"I look.\n{SEA}", True),
        (f"I look.\n{SEA}\n{SEA} So.", True),
        (BARN, False),
        (f"I look. {BARN}", False),
        ('<tool_call>\n{"name": "wait", "arguments": {"a": 1}}\n</tool_call>', True),  # not strict
        ("", True),
    ],
)
def test_a_free_answer_may_be_text_and_calls_of_strict_tools_match_their_schema(
    judge: Judge, answer: str, allowed: bool
) -> None:
    assert judge.allows(answer, tool_use=ToolUse(tools=(STRICT, WAIT))) is allowed


@pytest.mark.parametrize(
    ("answer", "allowed"), [('{"a": 1}', True), (SEA, True), ("I look.", False), (BARN, True)]
)
def test_a_free_answer_with_a_response_format_is_that_or_a_call(
    judge: Judge, answer: str, allowed: bool
) -> None:
    constraint = schema('{"type": "object", "properties": {"a": {"type": "integer"}}}')
    use = ToolUse(tools=(LOOK, WAIT))
    assert judge.allows(answer, tool_use=use, constraint=constraint) is allowed


def test_a_required_call_goes_before_a_response_format(judge: Judge) -> None:
    use = ToolUse(tools=(LOOK,), required=True)
    assert judge.allows(SEA, tool_use=use, constraint=schema('{"type": "object"}'))
    assert not judge.allows("{}", tool_use=use, constraint=schema('{"type": "object"}'))


@pytest.mark.parametrize(
    ("constraint", "yes", "no"),
    [
        (schema('{"type": "object"}'), "{}", "[]"),
        (schema("true"), "[1]", "one"),
        (Constraint(kind=ConstraintKind.REGEX, source='a/"b'), 'a/"b', "a/b"),
        (Constraint(kind=ConstraintKind.GRAMMAR, source='start: "x"+'), "xx", "y"),
    ],
)
def test_a_response_format_alone(judge: Judge, constraint: Constraint, yes: str, no: str) -> None:
    assert judge.allows(yes, constraint=constraint)
    assert not judge.allows(no, constraint=constraint)


CALLS = {
    "hermes": (SEA, f"{SEA}\n{SEA}"),
    "llama3_json": (
        '{"name": "look", "parameters": {"at": "sea"}}',
        '{"name": "look", "parameters": {"at": "sea"}}; {"name": "wait", "parameters": {}}',
    ),
    "plain_json": (
        '{"name": "look", "arguments": {"at": "sea"}}',
        '[{"name": "look", "arguments": {"at": "sea"}}, {"name": "wait", "arguments": {}}]',
    ),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_reads_what_it_demands(
    tokenizer: TextTokenizer, compiler: GrammarCompiler, name: str
) -> None:
    format = FORMATS[name]
    judge = Judge(tokenizer, compiler, format)
    for answer in CALLS[name]:
        for use in (
            ToolUse(tools=(LOOK, WAIT), required=True),
            ToolUse(tools=(STRICT, WAIT)),
        ):
            assert judge.allows(answer, tool_use=use)
        reader = format.reader(frozenset({"look", "wait"}))
        first, last = reader.push(answer), reader.finish()
        assert first.text + last.text == ""
        assert {piece.name for piece in first.calls + last.calls} >= {"look"}


@pytest.mark.parametrize("name", ["llama3_json", "plain_json"])
def test_a_free_answer_without_tags_begins_like_a_call_or_is_text(
    tokenizer: TextTokenizer, compiler: GrammarCompiler, name: str
) -> None:
    judge = Judge(tokenizer, compiler, FORMATS[name])
    use = ToolUse(tools=(STRICT, WAIT))
    assert judge.allows("I look {at} it.", tool_use=use)
    assert judge.allows("", tool_use=use)
    assert not judge.allows('{"name": "fly"}', tool_use=use)


def test_free_calls_of_tools_that_are_not_strict_are_not_constrained(
    compiler: GrammarCompiler,
) -> None:
    assert Obligations(compiler).grammar(asked(tool_use=ToolUse(tools=(LOOK,)))) is None


def test_a_request_for_nothing_special_is_not_constrained(compiler: GrammarCompiler) -> None:
    assert Obligations(compiler).grammar(asked()) is None
    assert Obligations(None).grammar(asked()) is None
    assert Obligations(None).tool_reading(asked()) is None


@pytest.mark.parametrize("use", [{"required": True}, {}])
def test_a_bad_schema_is_named_by_its_tool(
    compiler: GrammarCompiler, use: dict[str, object]
) -> None:
    bad = Tool(name="bad", parameters={"type": "objekt"}, strict=True)
    with pytest.raises(InvalidRequest, match="objekt") as caught:
        Obligations(compiler).grammar(asked(tool_use=ToolUse(tools=(LOOK, bad), **use)))  # type: ignore[arg-type]  # fields of a test
    assert caught.value.param == "tools[1].function.parameters"


def test_what_a_model_cannot_enforce_is_refused_where_it_is_asked_for() -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        Obligations(None).grammar(asked(constraint=schema("{}")))
    assert caught.value.param == "response_format"


def test_tools_are_read_by_their_names(compiler: GrammarCompiler) -> None:
    reading = Obligations(compiler).tool_reading(
        asked(tool_use=ToolUse(tools=(LOOK, WAIT), parallel=False))
    )
    assert reading is not None
    assert (reading.names, reading.parallel) == ({"look", "wait"}, False)
