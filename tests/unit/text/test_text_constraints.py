"""Constrained rows: what may follow, in a batch with rows that may say anything."""

from __future__ import annotations

import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from jsonschema import validate
from llguidance import LLMatcher, LLTokenizer
from numpy.typing import NDArray
from text_tokenizers import END, byte_tokenizer, compiler_for, fallback_tokenizer
from tokenizers import Tokenizer, models

from bestiary.errors import InvalidRequest
from bestiary.schemas.text import Constraint, ConstraintKind, Sampling
from deployments.text.constraints import (
    CompiledGrammar,
    GrammarCompiler,
    TokenMatcher,
    compiler_of,
)
from deployments.text.grammars import alone, grammar_of, lark
from deployments.text.sampling import BROKEN, STUCK, RowSampler, choose

TOKENIZER = byte_tokenizer()
END_ID = next(iter(TOKENIZER.end_ids))
VOCABULARY = END_ID + 1
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 5},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "kind": {"enum": ["cat", "dog"]},
        "tags": {"type": "array", "items": {"type": "boolean"}, "maxItems": 2},
    },
    "required": ["name", "age", "kind"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def compiler() -> GrammarCompiler:
    return compiler_for(TOKENIZER)


def json_schema(schema: object, strict: bool = True) -> str:
    constraint = Constraint(
        kind=ConstraintKind.JSON_SCHEMA, source=json.dumps(schema), strict=strict
    )
    return alone(grammar_of(constraint))


def regex(source: str) -> str:
    return alone(grammar_of(Constraint(kind=ConstraintKind.REGEX, source=source)))


def begin(
    grammar: CompiledGrammar, seed: int = 1, **sampling: object
) -> tuple[RowSampler, list[int]]:
    sampler = RowSampler.begin(
        Sampling.model_validate({"temperature": 1.0} | sampling),
        seed,
        0,
        np.array([1], np.int64),
        matcher=grammar.begin(),
    )
    return sampler, []


def noise(seed: int, step: int, rows: int = 1) -> NDArray[np.float32]:
    """Logits that want nothing in particular."""
    numbers = np.random.default_rng([seed, step])
    return numbers.normal(scale=3, size=(rows, VOCABULARY)).astype("f4")


def write(grammar: CompiledGrammar, seed: int, most: int = 400, **sampling: object) -> list[int]:
    """What a model of noise says until its constraint is complete, or it ends by itself."""
    sampler, said = begin(grammar, seed, **sampling)
    assert sampler.matcher is not None
    for step in range(most):
        (token,) = choose(noise(seed, step), [sampler])
        if token == END_ID:
            return said
        said.append(token)
        sampler.chose(token)
        if sampler.matcher.complete:
            return said
    return said


@pytest.mark.parametrize("seed", range(20))
def test_noise_writes_json_that_matches_its_schema(compiler: GrammarCompiler, seed: int) -> None:
    grammar = compiler.compile(json_schema(SCHEMA), "response_format")
    validate(json.loads(TOKENIZER.decode(write(grammar, seed))), SCHEMA)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("source", [r"[0-9]{3}-[a-f]{2}", "(yes|no)", r"a{0,9}€b?"])
def test_noise_writes_what_a_regex_matches(
    compiler: GrammarCompiler, source: str, seed: int
) -> None:
    said = TOKENIZER.decode(write(compiler.compile(regex(source), "response_format"), seed))
    assert re.fullmatch(source, said)


def test_noise_writes_what_a_lark_grammar_derives(compiler: GrammarCompiler) -> None:
    grammar = compiler.compile(
        alone(lark('start: pair\npair: "(" pair? ")" | NUMBER\nNUMBER: /[0-9]{1,3}/')), "x"
    )
    for seed in range(10):
        said = TOKENIZER.decode(write(grammar, seed, temperature=0.1))
        assert re.fullmatch(r"\(*([0-9]{1,3})?\)*", said)
        assert said.count("(") == said.count(")")


def test_white_space_between_json_tokens_is_bounded(compiler: GrammarCompiler) -> None:
    grammar = compiler.compile(json_schema({"type": "object"}), "response_format")
    space = TOKENIZER.encode(" ", as_prompt=False)[0]
    matcher = grammar.begin()
    matcher.accept(TOKENIZER.encode("{", as_prompt=False)[0])
    assert allowed(matcher, space)
    matcher.accept(space)
    assert not allowed(matcher, space)


def allowed(matcher: TokenMatcher, token: int) -> bool:
    mask = matcher.mask()
    assert mask is not None
    return bool(mask[token // 8] >> (token % 8) & 1)


def test_an_end_is_allowed_only_where_the_text_is_complete(compiler: GrammarCompiler) -> None:
    matcher = compiler.compile(regex("ab*"), "x").begin()
    a, b = TOKENIZER.encode("ab", as_prompt=False)
    assert not allowed(matcher, END_ID)
    matcher.accept(a)
    assert allowed(matcher, END_ID)
    assert allowed(matcher, b)
    assert not matcher.complete


def test_what_nothing_can_follow_is_complete(compiler: GrammarCompiler) -> None:
    matcher = compiler.compile(regex("ab?"), "x").begin()
    a, b = TOKENIZER.encode("ab", as_prompt=False)
    matcher.accept(a)
    assert not matcher.complete
    matcher.accept(b)
    assert matcher.complete


def test_sequences_of_one_grammar_do_not_share_their_place(compiler: GrammarCompiler) -> None:
    grammar = compiler.compile(regex("ab"), "x")
    first, second = grammar.begin(), grammar.begin()
    a, b = TOKENIZER.encode("ab", as_prompt=False)
    first.accept(a)
    assert allowed(first, b)
    assert allowed(second, a)
    assert not allowed(second, b)


def test_rows_with_and_without_constraints_equal_their_solo_runs(
    compiler: GrammarCompiler,
) -> None:
    grammars = [
        compiler.compile(json_schema(SCHEMA), "x"),
        None,
        compiler.compile(regex("(ab|cd)+"), "x"),
        None,
    ]
    settings = [
        {"temperature": 0.9, "frequency_penalty": 1.0},
        {"temperature": 1.1, "top_p": 0.9},
        {"temperature": 1.5, "min_p": 0.1, "logprobs": 2},
        {"temperature": 0.0},
    ]

    def samplers() -> list[RowSampler]:
        prompt = np.array([1], np.int64)
        return [
            RowSampler.begin(
                Sampling.model_validate(given),
                place,
                0,
                prompt,
                matcher=None if grammar is None else grammar.begin(),
            )
            for place, (grammar, given) in enumerate(zip(grammars, settings, strict=True))
        ]

    together, alone_ = samplers(), samplers()
    for step in range(8):
        logits = noise(3, step, rows=4)
        tokens = choose(logits.copy(), together)
        for place, sampler in enumerate(alone_):
            assert choose(logits[place : place + 1].copy(), [sampler]) == [tokens[place]]
        for place, token in enumerate(tokens):
            together[place].chose(token)
            alone_[place].chose(token)


def test_a_seed_writes_the_same_again(compiler: GrammarCompiler) -> None:
    grammar = compiler.compile(json_schema(SCHEMA), "x")
    assert write(grammar, 5) == write(grammar, 5)


def test_a_broken_row_is_broken_under_a_mask_too(compiler: GrammarCompiler) -> None:
    sampler, _ = begin(compiler.compile(regex("a"), "x"))
    logits = noise(1, 0)
    logits[0, 200] = np.nan  # not what the mask allows
    assert choose(logits, [sampler]) == [BROKEN]


def test_choosing_changes_no_state(compiler: GrammarCompiler) -> None:
    sampler, _ = begin(compiler.compile(regex("ab"), "x"), temperature=0.0)
    assert choose(noise(1, 0), [sampler]) == choose(noise(2, 0), [sampler])


def test_a_model_with_more_logits_than_tokens_says_none_of_them() -> None:
    tokenizer = fallback_tokenizer()
    compiler = compiler_for(tokenizer, vocabulary=320)
    sampler, _ = begin(compiler.compile(regex("(a|b)+"), "x"), temperature=0.0)
    logits = np.zeros((1, 320), np.float32)
    logits[0, 300:] = 5.0
    (token,) = choose(logits, [sampler])
    assert tokenizer.spell(token).data in (b"a", b"b")


def test_a_model_with_fewer_logits_than_tokens_is_served() -> None:
    compiler = compiler_for(TOKENIZER, vocabulary=100)
    sampler, _ = begin(compiler.compile(regex("[A-Z]+"), "x"), temperature=0.0)
    (token,) = choose(np.zeros((1, 100), np.float32), [sampler])
    assert TOKENIZER.spell(token).data.isupper()


def test_a_grammar_that_becomes_too_hard_stops_its_row_alone(compiler: GrammarCompiler) -> None:
    hard, _ = begin(compiler.compile(regex("(.{0,200}a){0,50}b"), "response_format"))
    free = RowSampler.begin(Sampling(temperature=0), 1, 0, np.array([1], np.int64))
    a = TOKENIZER.encode("a", as_prompt=False)[0]
    for step in range(200):
        logits = noise(1, step, rows=2)
        best = int(logits[1].argmax())
        token, other = choose(logits, [hard, free])
        assert other == best
        if token == STUCK:
            break
        hard.chose(a)
    assert token == STUCK
    assert hard.matcher is not None
    fault = hard.matcher.fault()
    assert "cannot go on" in fault.message
    assert fault.param == "response_format"


def matcher_with(workers: ThreadPoolExecutor, deadline_s: float = 10.0) -> TokenMatcher:
    """Held to `ab`, with a first mask that allows everything."""
    tokenizer = LLTokenizer(TOKENIZER.serialized(), eos_token=[END_ID])
    mask = np.full(VOCABULARY // 8 + 1, 255, np.uint8)
    matcher = LLMatcher(tokenizer, regex("ab"))
    return TokenMatcher(matcher, mask, workers, "x", deadline_s)


def test_a_mask_that_does_not_come_stops_its_row() -> None:
    held = threading.Event()
    with ThreadPoolExecutor(1) as workers:
        workers.submit(held.wait, 30)
        matcher = matcher_with(workers, deadline_s=0.05)
        matcher.accept(TOKENIZER.encode("a", as_prompt=False)[0])
        assert matcher.mask() is None
        assert "took over 0.05 s" in matcher.fault().message
        held.set()


def test_masks_are_computed_in_another_thread() -> None:
    with ThreadPoolExecutor(1, thread_name_prefix="masks") as workers:
        matcher = matcher_with(workers)
        matcher.accept(TOKENIZER.encode("a", as_prompt=False)[0])
        assert allowed(matcher, TOKENIZER.encode("b", as_prompt=False)[0])
        assert any(thread.name.startswith("masks") for thread in threading.enumerate())


def test_what_one_sequence_ran_into_does_not_end_another(compiler: GrammarCompiler) -> None:
    grammar = compiler.compile(regex("(.{0,200}a){0,50}b"), "x", sequences=2)
    a = TOKENIZER.encode("a", as_prompt=False)[0]

    def length() -> int:
        """Until it is stuck."""
        matcher, said = grammar.begin(), 0
        while matcher.mask() is not None:
            matcher.accept(a)
            said += 1
        return said

    first, second, made_later = length(), length(), length()
    assert first == second == made_later > 10


@pytest.mark.parametrize(
    ("grammar", "told"),
    [
        (json_schema({"type": "objekt"}), "Invalid type: objekt"),
        (json_schema({"type": "integer", "minimum": 5, "maximum": 3}), "Unsatisfiable"),
        (json_schema({"not": {}}), "Unimplemented keys"),
        (json_schema({"$ref": "http://example.com/x"}), "http://example.com/x"),
        (json_schema({"$ref": "#/$defs/none"}), "none"),
        (json_schema({"type": "string", "pattern": "(?=a)b"}), "look-ahead"),
        (json_schema({"properties": []}), "properties must be an object"),
        (json_schema(False), "Unsatisfiable"),
        (regex("(ab"), "unclosed group"),
        (regex("(?=a)b"), "look-ahead"),
        (alone(lark("start: nothing")), 'unknown name: "nothing"'),
        (alone(lark("stert: /a/")), "start"),
        (alone(lark("start  /a")), "lexer error"),
        (alone(lark("start: <no_such_token>")), "unknown special token"),
        (alone(lark("x" * 300_000)), "over the limit"),
    ],
)
def test_what_cannot_be_enforced_is_told(
    compiler: GrammarCompiler, grammar: str, told: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        compiler.compile(grammar, "response_format")
    assert told in caught.value.message
    assert caught.value.param == "response_format"
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 500


def test_a_keyword_that_cannot_be_enforced_is_left_out_where_not_strict(
    compiler: GrammarCompiler,
) -> None:
    schema = {"type": "object", "properties": {"a": {"const": 1}}, "not": {"type": "null"}}
    with pytest.raises(InvalidRequest, match="not"):
        compiler.compile(json_schema(schema), "x")
    compiler.compile(json_schema(schema, strict=False), "x")


def test_a_schema_may_bring_its_own_options(compiler: GrammarCompiler) -> None:
    schema = {"type": "object", "x-guidance": {"whitespace_flexible": False, "lenient": True}}
    compiler.compile(json_schema(schema | {"not": {}}), "x")


def test_the_end_of_the_grammar_text_is_no_second_grammar(compiler: GrammarCompiler) -> None:
    with pytest.raises(InvalidRequest):
        compiler.compile(alone(lark('{"grammars": [{"json_schema": {}}]}')), "x")


def test_a_tokenizer_of_words_cannot_be_constrained() -> None:
    words = Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    assert compiler_of(words.to_str(), 2, frozenset()) is None


def test_the_end_token_is_the_tokenizers() -> None:
    assert TOKENIZER.id_of(END) == END_ID
