"""Logprobs on the OpenAI wire: chat's records, and the parallel lists of completions.

https://platform.openai.com/docs/api-reference/chat/object (`logprobs.content`) and
/completions/object. A token that is part of a character only is written as OpenAI
writes it: its bytes escaped, in completions after `bytes:`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bestiary.schemas.text import ScoredToken, TokenLogprob

NEVER = -9999.0  # OpenAI's word for a token that is very unlikely; JSON has no -inf


class LogprobsWriter(Protocol):
    """Of one choice, piece by piece or whole."""

    def write(
        self, prompt: Sequence[TokenLogprob], tokens: Sequence[TokenLogprob]
    ) -> dict[str, object]: ...


class ChatLogprobs:
    """A conversation is never echoed, so there is no prompt here."""

    def write(
        self, prompt: Sequence[TokenLogprob], tokens: Sequence[TokenLogprob]
    ) -> dict[str, object]:
        return {"content": [self._record(one) for one in tokens], "refusal": None}

    def _record(self, one: TokenLogprob) -> dict[str, object]:
        top = [_likely(likely) for likely in one.top]
        return {**_likely(one.token), "top_logprobs": top}


class CompletionLogprobs:
    """`text_offset` counts characters of the choice's text, the echoed prompt included."""

    def __init__(self, top: int) -> None:
        self._top = top
        self._offset = 0

    def write(
        self, prompt: Sequence[TokenLogprob], tokens: Sequence[TokenLogprob]
    ) -> dict[str, object]:
        every = [*prompt, *tokens]
        return {
            "tokens": [_legacy_name(one.token) for one in every],
            "token_logprobs": [_legacy_number(one.token) for one in every],
            "top_logprobs": [_by_name(one) for one in every] if self._top else None,
            "text_offset": [self._offset_of(one) for one in every],
        }

    def _offset_of(self, one: TokenLogprob) -> int:
        offset = self._offset
        self._offset += one.characters
        return offset


def _likely(one: ScoredToken) -> dict[str, object]:
    text = _text(one)
    return {
        "token": _escaped(one.data) if text is None else text,
        "logprob": _number(one.logprob),
        "bytes": None if one.special else list(one.data),
    }


def _by_name(one: TokenLogprob) -> dict[str, float] | None:
    """The likeliest, and the chosen one whether or not it is among them."""
    if one.token.logprob is None:
        return None
    found: dict[str, float] = {}
    for likely in (*one.top, one.token):  # tokens of the same text: the likelier one's
        found.setdefault(_legacy_name(likely), _number(likely.logprob))
    return found


def _legacy_name(one: ScoredToken) -> str:
    text = _text(one)
    return f"bytes:{_escaped(one.data)}" if text is None else text


def _legacy_number(one: ScoredToken) -> float | None:
    return None if one.logprob is None else _number(one.logprob)


def _number(logprob: float | None) -> float:
    return NEVER if logprob is None else max(NEVER, logprob)


def _text(one: ScoredToken) -> str | None:
    """None where the token is no text by itself."""
    try:
        return one.data.decode()
    except UnicodeDecodeError:
        return None


def _escaped(data: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in data)
