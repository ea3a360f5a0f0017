"""The id of a token that has to be there."""

from __future__ import annotations

from tokenizers import Tokenizer


def token_id(tokenizer: Tokenizer, token: str) -> int:
    """Raises KeyError for one that the vocabulary does not have."""
    found = tokenizer.token_to_id(token)
    if found is None:
        raise KeyError(token)
    return int(found)
