"""How near a model's answers are to the expected ones: exact match, chrF and ROUGE-L."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from transformers import PreTrainedModel

from services.tuning.trainers.micro_batches import chunks
from services.tuning.trainers.text.answering import AT_ONCE, greedy_answers
from services.tuning.trainers.text.chat import TokenWriter
from services.tuning.trainers.text.sequences import TokenSequence
from training.text_scores import chrf, exact_match, rouge_l

ANSWERED = 64  # held-out examples at most: each token is a pass
LONGEST = 256  # tokens
SPARE = 16  # tokens that an answer may have over the longest expected one of its batch


def answer_scores(
    model: PreTrainedModel, writer: TokenWriter, held_out: Sequence[TokenSequence]
) -> Mapping[str, float]:
    """Of the last answer of each of the first examples. Called in evaluation mode."""
    asked = held_out[:ANSWERED]
    given: list[str] = []
    for part in chunks(asked, AT_ONCE):
        prompts = [one.ids[: one.answer_at] for one in part]
        longest = max(len(one) - one.answer_at for one in part)
        most = min(LONGEST, longest + SPARE)
        answers = greedy_answers(model, prompts, writer.end_ids, most)
        given += [writer.decode(answer.ids) for answer in answers]
    expected = [writer.decode(one.ids[one.answer_at :]) for one in asked]
    return {
        "exact_match": exact_match(expected, given),
        "chrf": chrf(expected, given),
        "rouge_l": rouge_l(expected, given),
    }
