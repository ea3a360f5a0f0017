"""A model's tokenizer: text <-> token ids, and which ids end a text.

Reads the folder that the garden installs, with the `tokenizers` library alone:
transformers would cost a replica's start several seconds.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from tokenizers import Tokenizer

from bestiary.errors import CardInvalid
from deployments.text.spelling import Speller, Spelling

SPECIAL_TOKENS = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)


class TextTokenizer:
    """Thread-safe: it never changes."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        special_tokens: dict[str, str],
        end_ids: frozenset[int],
        visible: Collection[str] = (),
    ) -> None:
        """`visible`: special tokens that are text all the same, as they mark tool calls."""
        self._tokenizer = tokenizer
        self.special_tokens = special_tokens  # as the chat template names them
        self.end_ids = end_ids  # a generated one of these ends the completion
        self._hidden = frozenset(
            number
            for number, token in tokenizer.get_added_tokens_decoder().items()
            if token.special and (token.content not in visible or number in end_ids)
        )
        self._speller = Speller(tokenizer, self._hidden)

    @classmethod
    def from_folder(cls, folder: Path, visible: Collection[str] = ()) -> TextTokenizer:
        """Raises CardInvalid where the folder has no tokenizer."""
        source = folder / "tokenizer.json"
        if not source.exists():
            raise CardInvalid(f"{folder} has no tokenizer.json")
        tokenizer = Tokenizer.from_file(str(source))
        tokenizer.no_truncation()  # a saved limit would cut prompts without a word
        tokenizer.no_padding()
        special = _special_tokens(_json(folder / "tokenizer_config.json"))
        ends = frozenset(_end_ids(folder, tokenizer, special))
        return cls(tokenizer, special, ends, visible)

    def encode(self, text: str, *, as_prompt: bool) -> list[int]:
        """`as_prompt` adds what the model expects around a bare text, such as a BOS token.

        A batch of one: `encode` holds the GIL for as long as it runs (seconds, for the
        longest body that the gateway lets through), `encode_batch_fast` does not.
        """
        (encoding,) = self._tokenizer.encode_batch_fast([text], add_special_tokens=as_prompt)
        ids: list[int] = encoding.ids
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Special tokens have no text, but for the visible ones."""
        shown = [one for one in ids if one not in self._hidden]
        text: str = self._tokenizer.decode(shown, skip_special_tokens=False)
        return text

    def spell(self, token: int) -> Spelling:
        """What this token alone stands for."""
        return self._speller.spell(token)

    def id_of(self, token: str) -> int | None:
        """Of a token by its own name, such as `<tool_call>`."""
        found: int | None = self._tokenizer.token_to_id(token)
        return found

    def vocabulary(self) -> dict[str, int]:
        """Every token by name, the special ones too."""
        found: dict[str, int] = self._tokenizer.get_vocab(with_added_tokens=True)
        return found

    def serialized(self) -> str:
        """As `tokenizer.json` has it, for libraries that bring their own tokenizer."""
        text: str = self._tokenizer.to_str()
        return text


def _special_tokens(config: dict[str, object]) -> dict[str, str]:
    """A token is written as a string, or as a record whose `content` it is."""
    found: dict[str, str] = {}
    for name in SPECIAL_TOKENS:
        token = config.get(name)
        if isinstance(token, dict):
            token = token.get("content")
        if isinstance(token, str):
            found[name] = token
    return found


def _end_ids(folder: Path, tokenizer: Tokenizer, special: dict[str, str]) -> Iterator[int]:
    """Every place where a checkpoint says what ends a text; they do not always agree."""
    for name in ("generation_config.json", "config.json"):
        ids = _json(folder / name).get("eos_token_id")
        if isinstance(ids, int):
            yield ids
        elif isinstance(ids, list):
            yield from (one for one in ids if isinstance(one, int))
    token = tokenizer.token_to_id(special["eos_token"]) if "eos_token" in special else None
    if token is not None:
        yield token


def _json(path: Path) -> dict[str, object]:
    if not path.exists():
        return {}
    content = json.loads(path.read_text("utf-8"))
    if not isinstance(content, dict):
        raise CardInvalid(f"{path} is not a JSON object")
    return content
