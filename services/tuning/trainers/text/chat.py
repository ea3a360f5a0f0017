"""Messages and texts -> token ids, exactly as serving makes them.

A conversation goes through the model's own chat template, a bare text through its tokenizer
(`deployments/text/{prompts,tokenizer}.py`; a test compares them). Knows no loss and no model.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer
from transformers.utils.chat_template_utils import render_jinja_template

from bestiary.errors import InvalidRequest
from bestiary.garden import InstalledModel
from bestiary.schemas.text import ChatMessage

SPECIAL_TOKENS = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")


class TokenWriter:
    """Of one model. `end_ids`: a generated one of these ends an answer; `end_id` is learned."""

    def __init__(self, model: InstalledModel) -> None:
        self._tokenizer = Tokenizer.from_file(str(model.path / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._template = model.chat_template
        self._special = _special_tokens(_json(model.path / "tokenizer_config.json"))
        ends = _end_ids(model.path, self._tokenizer, self._special)
        if not ends:
            raise InvalidRequest(f"{model.card.id} has no end token, so no answer can end", "base")
        self.end_ids = frozenset(ends)
        self.end_id = ends[-1]  # the tokenizer's own, where it has one

    def prompt(self, messages: Sequence[ChatMessage]) -> list[int]:
        """Ready for the assistant's turn. Raises InvalidRequest, as `rendered` does."""
        return self.encode(self.rendered(messages, answer_next=True), as_prompt=False)

    def answered(self, messages: Sequence[ChatMessage]) -> tuple[list[int], list[int]]:
        """The ids before the last message, which is an answer, and those of it and its end."""
        before = self.rendered(messages[:-1], answer_next=True)
        whole = self.rendered(messages, answer_next=False)
        # Some templates write an answer in another way than the prompt begins it.
        text = whole[len(before) :] if whole.startswith(before) else messages[-1].content
        return self.encode(before, as_prompt=False), self._ended(text)

    def completed(self, prompt: str, completion: str) -> tuple[list[int], list[int]]:
        """Raw texts, as the legacy completions API has them: no template, nothing in between."""
        answer = self.encode(completion, as_prompt=False)
        return self.encode(prompt, as_prompt=True), [*answer, self.end_id]

    def rendered(self, messages: Sequence[ChatMessage], *, answer_next: bool) -> str:
        """Raises InvalidRequest where the model has no template or it refuses the messages."""
        if self._template is None:
            raise InvalidRequest(
                "the base model has no chat template: give lines of prompt and completion, "
                "or an instruct model",
                "training_file",
            )
        if "tools" not in self._template and any(map(_is_about_tools, messages)):
            raise InvalidRequest(
                "the base model's chat template knows no tools: give conversations without "
                "tool calls, or another model",
                "training_file",
            )
        try:
            (text,), _ = render_jinja_template(
                [[_record(message) for message in messages]],
                chat_template=self._template,
                add_generation_prompt=answer_next,
                **self._special,
            )
        except Exception as error:  # a template is code that comes with the weights
            reason = f"the model's chat template refuses these messages: {error}"
            raise InvalidRequest(reason, "training_file") from error
        return str(text)

    def encode(self, text: str, *, as_prompt: bool) -> list[int]:
        """`as_prompt` adds what the model expects around a bare text, such as a BOS token."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=as_prompt).ids
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Special tokens have no text."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))

    def vocabulary(self) -> dict[str, int]:
        found: dict[str, int] = self._tokenizer.get_vocab(with_added_tokens=True)
        return found

    def _ended(self, text: str) -> list[int]:
        """Ends with an end token: what a template writes after it is never generated."""
        ids = self.encode(text, as_prompt=False)
        last = next((n for n in range(len(ids), 0, -1) if ids[n - 1] in self.end_ids), None)
        return [*ids, self.end_id] if last is None else ids[:last]


def _is_about_tools(message: ChatMessage) -> bool:
    return message.role == "tool" or bool(message.tool_calls)


def _record(message: ChatMessage) -> dict[str, object]:
    """Fields that a message lacks are undefined in a template, not None."""
    record: dict[str, object] = message.model_dump(exclude_none=True, exclude={"tool_calls"})
    if message.tool_calls:
        record["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": _arguments(call.arguments)},
            }
            for call in message.tool_calls
        ]
    return record


def _arguments(text: str) -> object:
    """Templates write arguments as JSON themselves, so they get an object where it is one."""
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return found if isinstance(found, dict) else text


def _special_tokens(config: dict[str, object]) -> dict[str, str]:
    """A token is written as a string, or as a record whose `content` it is."""
    found: dict[str, str] = {}
    for name in SPECIAL_TOKENS:
        token = config.get(f"{name}_token")
        if isinstance(token, dict):
            token = token.get("content")
        if isinstance(token, str):
            found[f"{name}_token"] = token
    return found


def _end_ids(folder: Path, tokenizer: Tokenizer, special: dict[str, str]) -> list[int]:
    """Every place where a checkpoint says what ends a text; they do not always agree."""
    found: list[int] = []
    for name in ("generation_config.json", "config.json"):
        ids = _json(folder / name).get("eos_token_id")
        found += [one for one in (ids if isinstance(ids, list) else [ids]) if isinstance(one, int)]
    own = tokenizer.token_to_id(special["eos_token"]) if "eos_token" in special else None
    return found if own is None else [*found, own]


def _json(path: Path) -> dict[str, object]:
    if not path.exists():
        return {}
    content = json.loads(path.read_text("utf-8"))
    if not isinstance(content, dict):
        raise InvalidRequest(f"{path} is not a JSON object", "base")
    return content
