"""What is masked, and with what; sentence pairs; spans and their labels."""

from __future__ import annotations

from itertools import pairwise

import torch

from training.spans import label_names, labels_of, spans_of
from zoo.data.code_mentions import Mention, sentences, unmarked
from zoo.encoder.masking import mask
from zoo.encoder.sentence_pairs import apart, pairs

MASK, WORDS = 4, 1000
IDS = torch.randint(10, WORDS, (400, 100), generator=torch.Generator().manual_seed(0))
MAY = torch.arange(100)[None].expand(400, 100) > 9  # the first ten of a row are special


def test_fifteen_percent_are_chosen_and_none_of_the_special_ones() -> None:
    found = mask(IDS, MAY, mask_id=MASK, vocabulary=WORDS, seed=1)
    share = found.chosen.sum() / MAY.sum()
    assert 0.145 < share < 0.155
    assert not (found.chosen & ~MAY).any()


def test_eighty_ten_ten() -> None:
    found = mask(IDS, MAY, mask_id=MASK, vocabulary=WORDS, seed=1)
    chosen = found.chosen.sum()
    masked = (found.input_ids == MASK) & found.chosen
    same = (found.input_ids == IDS) & found.chosen
    replaced = found.chosen & ~masked & ~same
    assert torch.equal(masked, found.masked)
    assert 0.78 < masked.sum() / chosen < 0.82
    assert 0.085 < same.sum() / chosen < 0.115
    assert 0.085 < replaced.sum() / chosen < 0.115


def test_what_is_not_chosen_stays() -> None:
    found = mask(IDS, MAY, mask_id=MASK, vocabulary=WORDS, seed=1)
    assert torch.equal(found.input_ids[~found.chosen], IDS[~found.chosen])


def test_masks_come_from_their_seed_alone() -> None:
    torch.manual_seed(1)
    one = mask(IDS, MAY, mask_id=MASK, vocabulary=WORDS, seed=5)
    torch.manual_seed(2)
    again = mask(IDS, MAY, mask_id=MASK, vocabulary=WORDS, seed=5)
    other = mask(IDS, MAY, mask_id=MASK, vocabulary=WORDS, seed=6)
    assert torch.equal(one.input_ids, again.input_ids)
    assert not torch.equal(one.input_ids, other.input_ids)


DOCUMENTS = [tuple(f"Sentence {s} of document {d}." for s in range(6)) for d in range(200)]


def test_half_of_the_pairs_are_neighbours_and_the_rest_of_other_documents() -> None:
    found = pairs(DOCUMENTS, seed=1)
    assert len(found) == 200 * 5
    assert 0.45 < sum(one.neighbours for one in found) / len(found) < 0.55
    following = {pair for one in DOCUMENTS for pair in pairwise(one)}
    for one in found:
        if one.neighbours:
            assert (one.first, one.second) in following
        else:
            assert one.first.split("document")[1] != one.second.split("document")[1]


def test_pairs_come_from_their_seed() -> None:
    assert pairs(DOCUMENTS, seed=1) == pairs(DOCUMENTS, seed=1) != pairs(DOCUMENTS, seed=2)


def test_no_training_sentence_is_nearly_a_held_out_one() -> None:
    subjects = ("red", "green", "blue", "old", "new", "wide", "tall", "cold", "warm", "dry")
    found = [
        (f"The {a} {b} house stands here.", f"Its {a} {b} door is open.")
        for a in subjects
        for b in subjects
    ]
    training, held_out = apart(found)
    assert held_out
    assert len(training) + len(held_out) < len(found)  # "The red old house", "The old red house"
    kept = {frozenset(text.lower().split()) for one in training for text in one}
    assert not kept & {frozenset(text.lower().split()) for one in held_out for text in one}


def test_marks_become_spans_of_the_plain_text() -> None:
    found = unmarked("A :class:`~pkg.Session` has :meth:`_orm.Session.get` and ``x = 1``.")
    assert found is not None
    assert found.text == "A Session has Session.get and x = 1."
    named = [(found.text[one.start : one.end], one.kind) for one in found.mentions]
    assert named == [("Session", "class"), ("Session.get", "function"), ("x = 1", "code")]


def test_titles_of_roles_are_what_is_shown() -> None:
    found = unmarked("See :func:`this one <pkg.module.call>` for more.")
    assert found is not None
    assert found.text == "See this one for more."
    assert found.mentions == (Mention(4, 12, "function"),)


def test_sentences_with_other_roles_and_docstrings_without_marks_are_left_out() -> None:
    assert unmarked("Read :ref:`the guide` first.") is None
    assert sentences(["A docstring that has no marks at all in it."]) == []
    (one,) = sentences(["Gives back what the ``name`` was before it changed."])
    assert one.text == "Gives back what the name was before it changed."


OFFSETS = [(0, 1), (2, 6), (6, 9), (10, 13), (14, 18)]


def test_labels_say_where_spans_begin_and_go_on() -> None:
    labels = labels_of(OFFSETS, [(2, 9, "class"), (14, 18, "code")])
    assert labels == ["O", "B-class", "I-class", "O", "B-code"]
    assert set(labels) <= set(label_names(("class", "code")))


def test_spans_that_touch_stay_two() -> None:
    assert labels_of([(0, 2), (2, 4)], [(0, 2, "code"), (2, 4, "code")]) == ["B-code", "B-code"]


def test_spans_of_labels_are_those_that_gave_them() -> None:
    labels = ["O", "B-class", "I-class", "B-class", "O", "I-code", "I-class"]
    assert spans_of(labels) == {(1, 3, "class"), (3, 4, "class"), (5, 6, "code"), (6, 7, "class")}


def test_sentences_that_leave_code_unmarked_are_left_out() -> None:
    found = sentences(
        [
            "Returns ``None`` where the value is not there. It reads the some_name value here."
            " This gives back None where nothing is. All of these words are plain English.",
        ]
    )
    assert [one.text for one in found] == [
        "Returns None where the value is not there.",
        "All of these words are plain English.",
    ]
