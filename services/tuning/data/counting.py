"""Examples -> tokens, by the base model's own tokenizer. Pictures have none.

What a trainer adds (a pair's special tokens) is the tokenizer's; what it cuts is counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from tokenizers import Tokenizer

from bestiary.errors import CardInvalid
from bestiary.schemas.text import ChatMessage
from bestiary.schemas.tuning import DataReport, LengthBin
from services.tuning.data.chat_text import ChatText, plain_chat
from services.tuning.data.examples import CaptionedImage, Conversation, Example, Preference
from services.tuning.data.lengths import Histogram
from services.tuning.data.texts import texts_of

BATCH = 512  # examples


@dataclass(frozen=True)
class TokenCounts:
    """Of what is read at once: both answers of a preference are counted, each with its prompt."""

    examples: int
    tokens: int
    longest: int  # of one example
    over_context: int  # examples that a context of that length cuts
    lengths: tuple[LengthBin, ...]


def count_tokens(
    examples: Iterable[Example],
    tokenizer_file: Path,
    template: ChatText = plain_chat,
    *,
    context: int | None = None,
) -> TokenCounts:
    """`tokenizer_file` is a tokenizer.json; `template` see `chat_text`. Raises CardInvalid."""
    tokenizer = _opened(tokenizer_file)
    histogram, over, count = Histogram(), 0, 0
    remaining = iter(examples)
    while batch := list(islice(remaining, BATCH)):
        for length in _lengths(batch, tokenizer, template):
            histogram.add(length)
            count += 1
            over += context is not None and length > context
    return TokenCounts(count, histogram.total, histogram.longest, over, histogram.bins)


def with_tokens(report: DataReport, counts: TokenCounts, context: int) -> DataReport:
    """The report in tokens, with a warning where examples are longer than the context."""
    warnings = report.warnings
    if counts.over_context:
        warnings += (
            f"{counts.over_context} examples are longer than the context of {context} tokens "
            f"(the longest: {counts.longest}): they will be cut",
        )
    return report.model_copy(
        update={"tokens": counts.tokens, "lengths": counts.lengths, "warnings": warnings}
    )


def _opened(path: Path) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises a bare Exception
        raise CardInvalid(f"{path.name} is not a readable tokenizer: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _lengths(batch: Sequence[Example], tokenizer: Tokenizer, template: ChatText) -> Iterator[int]:
    readings = [_readings(example, template) for example in batch]
    encoded = iter(tokenizer.encode_batch_fast([one for many in readings for one in many]))
    for many in readings:
        yield sum(len(next(encoded).ids) for _ in many)


def _readings(example: Example, template: ChatText) -> tuple[str, ...]:
    match example:
        case Conversation(messages=messages):
            return (template(messages),)
        case Preference(prompt=prompt, chosen=chosen, rejected=rejected):
            answers = (ChatMessage(role="assistant", content=one) for one in (chosen, rejected))
            return tuple(template((*prompt, answer)) for answer in answers)
        case CaptionedImage():
            return texts_of(example)
        case _:
            return (" ".join(texts_of(example)),)
