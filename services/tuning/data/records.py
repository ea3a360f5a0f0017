"""A row's values -> an example: one parser for each format. Raises Unfit with what to mend."""

from __future__ import annotations

import re
from collections.abc import Callable

from bestiary.schemas.text import ChatMessage
from bestiary.schemas.tuning import DataFormat
from services.tuning.data.examples import (
    CaptionedImage,
    Completion,
    Conversation,
    Example,
    LabelledText,
    PlainText,
    Preference,
    TaggedTokens,
    TextPair,
    Translation,
)
from services.tuning.data.fields import (
    Values,
    any_text_of,
    label_of,
    list_of,
    object_of,
    optional_text_of,
    text_of,
)
from services.tuning.data.limits import DataLimits
from services.tuning.data.messages import answer_of, messages_of
from services.tuning.data.pictures import check_picture
from services.tuning.data.rows import Unfit
from services.tuning.data.texts import texts_of

_LANGUAGE = re.compile(r"[a-z]{2}")  # ISO 639-1
_TOOLS = ("tools", "functions")
_MAX_TAGGED = 10_000  # tokens


def example_of(format: DataFormat, values: Values, limits: DataLimits) -> Example:
    for key in _TOOLS:
        if values.get(key):
            raise Unfit(f"`{key}`: tools cannot be trained here; leave them out")
    example = _PARSERS[format](values, limits)
    size = sum(len(text) for text in texts_of(example))
    if size > limits.max_characters:
        raise Unfit(f"the example has {size} characters; the limit: {limits.max_characters}")
    return example


def _conversation(values: Values, limits: DataLimits) -> Conversation:
    if "messages" not in values:
        raise Unfit("`messages` is missing")
    messages = messages_of(values["messages"], "messages")
    if messages[-1].value.role != "assistant":
        raise Unfit("`messages`: the last one must be the assistant's, which is what is learned")
    trained = tuple(place for place, one in enumerate(messages) if one.trained)
    if not trained:
        raise Unfit("`messages`: every `weight` is 0, so nothing is learned")
    return Conversation(tuple(one.value for one in messages), trained)


def _completion(values: Values, limits: DataLimits) -> Completion:
    return Completion(any_text_of(values, "prompt"), text_of(values, "completion"))


def _preference(values: Values, limits: DataLimits) -> Preference:
    if "input" in values:  # OpenAI's
        given = object_of(values["input"], "input")
        for key in _TOOLS:
            if given.get(key):
                raise Unfit(f"`input.{key}`: tools cannot be trained here; leave them out")
        prompt = _prompt(given.get("messages"), "input.messages")
        chosen_key, rejected_key = "preferred_output", "non_preferred_output"
    else:
        prompt = _prompt(values.get("prompt"), "prompt")
        chosen_key, rejected_key = "chosen", "rejected"
    chosen = answer_of(values.get(chosen_key), chosen_key)
    rejected = answer_of(values.get(rejected_key), rejected_key)
    if chosen == rejected:
        raise Unfit(f"`{chosen_key}` and `{rejected_key}` are the same: there is no preference")
    return Preference(prompt, chosen, rejected)


def _prompt(given: object, where: str) -> tuple[ChatMessage, ...]:
    if isinstance(given, str):
        if not given.strip():
            raise Unfit(f"`{where}` is empty")
        return (ChatMessage(role="user", content=given),)
    messages = tuple(one.value for one in messages_of(given, where))
    if messages[-1].role == "assistant":
        raise Unfit(f"`{where}`: the last message must not be the assistant's")
    return messages


def _plain(values: Values, limits: DataLimits) -> PlainText:
    return PlainText(text_of(values, "text"))


def _labelled(values: Values, limits: DataLimits) -> LabelledText:
    if "label" not in values:
        raise Unfit("`label` is missing")
    label = label_of(values["label"], "label")
    return LabelledText(text_of(values, "text"), label, optional_text_of(values, "text_pair"))


def _tagged(values: Values, limits: DataLimits) -> TaggedTokens:
    tokens, tags = list_of(values, "tokens"), list_of(values, "tags")
    if len(tokens) != len(tags):
        raise Unfit(f"{len(tokens)} `tokens` and {len(tags)} `tags`: each token needs one")
    if len(tokens) > _MAX_TAGGED:
        raise Unfit(f"there are {len(tokens)} `tokens`; the limit: {_MAX_TAGGED}")
    return TaggedTokens(
        tuple(_token(one, f"tokens[{place}]") for place, one in enumerate(tokens)),
        tuple(label_of(one, f"tags[{place}]") for place, one in enumerate(tags)),
    )


def _token(value: object, where: str) -> str:
    return text_of({where: value}, where)


def _pair(values: Values, limits: DataLimits) -> TextPair:
    return TextPair(
        text_of(values, "anchor"),
        text_of(values, "positive"),
        optional_text_of(values, "negative"),
    )


def _translation(values: Values, limits: DataLimits) -> Translation:
    return Translation(
        text_of(values, "source"),
        text_of(values, "target"),
        _language(values, "source_language"),
        _language(values, "target_language"),
    )


def _language(values: Values, key: str) -> str | None:
    language = optional_text_of(values, key)
    if language is not None and not _LANGUAGE.fullmatch(language):
        raise Unfit(f"`{key}` must be two letters as en or de (ISO 639-1), not {language[:20]!r}")
    return language


def _picture(values: Values, limits: DataLimits) -> CaptionedImage:
    name, data = text_of(values, "file_name"), values.get("data")
    if not isinstance(data, bytes):
        raise Unfit("pictures with captions come as a zip file")
    caption = values.get("caption")
    if not isinstance(caption, str) or not caption.strip():
        raise Unfit(f"{name!r} has no caption, or an empty one")
    check_picture(name, data, limits.max_pixels)
    return CaptionedImage(name, caption.strip(), data)


_PARSERS: dict[DataFormat, Callable[[Values, DataLimits], Example]] = {
    DataFormat.CHAT: _conversation,
    DataFormat.COMPLETION: _completion,
    DataFormat.PREFERENCE: _preference,
    DataFormat.TEXT: _plain,
    DataFormat.LABELLED_TEXT: _labelled,
    DataFormat.TAGGED_TOKENS: _tagged,
    DataFormat.TEXT_PAIRS: _pair,
    DataFormat.TRANSLATION: _translation,
    DataFormat.CAPTIONED_IMAGES: _picture,
}
