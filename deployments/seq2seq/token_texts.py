"""What each token of a vocabulary is as text: `Ġent` and `▁ent` are " ent", `##ing` is "ing".

Vocabularies spell spaces and bytes in ways of their own, which mean nothing to people. Knows a
tokenizer's decoder; no request.
"""

from __future__ import annotations

from tokenizers import Tokenizer

BROKEN = "\ufffd"  # what a decoder makes of bytes that are no character


class TokenTexts:
    """Joined, the texts of an output's tokens are the output, but for special tokens and a
    space in front."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        added = tokenizer.get_added_tokens_decoder()
        self._specials = frozenset(number for number, one in added.items() if one.special)
        self._before = self._ordinary()

    def text(self, token: int) -> str:
        """With a space in front where a word begins. The vocabulary's own spelling of a special
        token, and of one that is only a part of a character."""
        name: str | None = self._tokenizer.id_to_token(token)
        if name is None:
            return f"<{token}>"
        if token in self._specials:
            return name
        # Decoders drop the space before a text's first word: so there is a word before it.
        before, both = self._decoded(self._before), self._decoded([*self._before, token])
        text = both.removeprefix(before)
        return name if BROKEN in text or not text else text

    def _decoded(self, ids: list[int]) -> str:
        text: str = self._tokenizer.decode(ids, skip_special_tokens=False)
        return text

    def _ordinary(self) -> list[int]:
        """A token of letters and digits alone, which no decoder changes for what comes after it."""
        for number in range(self._tokenizer.get_vocab_size()):
            if number not in self._specials and self._decoded([number]).strip().isalnum():
                return [number]
        return []
