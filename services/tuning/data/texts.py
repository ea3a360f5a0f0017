"""The texts of an example, in a fixed order: what is measured, compared and counted of it."""

from __future__ import annotations

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


def texts_of(example: Example) -> tuple[str, ...]:
    match example:
        case Conversation(messages=messages):
            return tuple(message.content for message in messages)
        case Completion(prompt=prompt, completion=completion):
            return prompt, completion
        case Preference(prompt=messages, chosen=chosen, rejected=rejected):
            return *(message.content for message in messages), chosen, rejected
        case PlainText(text=text):
            return (text,)
        case LabelledText(text=text, text_pair=pair):
            return (text,) if pair is None else (text, pair)
        case TaggedTokens(tokens=tokens):
            return tokens
        case TextPair(anchor=anchor, positive=positive, negative=negative):
            return (anchor, positive) if negative is None else (anchor, positive, negative)
        case Translation(source=source, target=target):
            return source, target
        case CaptionedImage(caption=caption):
            return (caption,)
