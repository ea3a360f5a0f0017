"""Logprobs on the wire -> `TokenLogprob`s: chat's records, and completions' parallel lists."""

from __future__ import annotations

import re

from bestiary_client._errors import UnexpectedReply
from bestiary_client._json import JsonObject, get, get_objects, get_optional
from bestiary_client._results import LikelyToken, TokenLogprob

_BYTES = "bytes:"  # before the escaped bytes of a token that is no text by itself
_ESCAPED = re.compile(r"\\x([0-9a-f]{2})")


def logprobs(choice: JsonObject) -> tuple[TokenLogprob, ...] | None:
    """None where the reply has none. Raises UnexpectedReply."""
    told = get_optional(choice, "logprobs", dict)
    if told is None:
        return None
    if "tokens" in told:
        return _of_lists(told)
    records = get_objects(told, "content") if told.get("content") is not None else []
    return tuple(_of_record(one) for one in records)


def _of_record(record: JsonObject) -> TokenLogprob:
    own = _likely(record)
    top = tuple(_likely(one) for one in get_objects(record, "top_logprobs"))
    return TokenLogprob(own.token, own.logprob, own.bytes, top)


def _likely(record: JsonObject) -> LikelyToken:
    data = get_optional(record, "bytes", list)
    try:
        spelt = None if data is None else bytes(data)
    except (TypeError, ValueError) as error:
        raise UnexpectedReply("the bytes of a token are none") from error
    return LikelyToken(get(record, "token", str), _number(record.get("logprob")), spelt)


def _of_lists(told: JsonObject) -> tuple[TokenLogprob, ...]:
    tokens = get(told, "tokens", list)
    numbers = get(told, "token_logprobs", list)
    offsets = get(told, "text_offset", list)
    tops = get_optional(told, "top_logprobs", list) or [None] * len(tokens)
    if not len(tokens) == len(numbers) == len(offsets) == len(tops):
        raise UnexpectedReply("the lists of logprobs differ in length")
    return tuple(
        TokenLogprob(
            token,
            None if number is None else _number(number),
            _bytes_of(token),
            _of_names(top),
            offset,
        )
        for token, number, top, offset in zip(tokens, numbers, tops, offsets, strict=True)
    )


def _of_names(top: object) -> tuple[LikelyToken, ...]:
    if not isinstance(top, dict):
        return ()
    found = [LikelyToken(name, _number(one), _bytes_of(name)) for name, one in top.items()]
    return tuple(sorted(found, key=lambda one: -one.logprob))


def _bytes_of(name: object) -> bytes:
    if not isinstance(name, str):
        raise UnexpectedReply("a token of the reply is no text")
    if name.startswith(_BYTES) and _ESCAPED.sub("", name) == _BYTES:
        return bytes(int(pair, 16) for pair in _ESCAPED.findall(name))
    return name.encode()


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise UnexpectedReply("a logprob of the reply is no number")
    return float(value)
