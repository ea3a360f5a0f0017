"""What is held out depends on the examples and the seed alone."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from services.tuning.data.examples import (
    CaptionedImage,
    Completion,
    LabelledText,
    PlainText,
    TaggedTokens,
    Translation,
)
from services.tuning.data.fingerprints import fingerprint, overlap
from services.tuning.data.splitting import split

TEXTS = [PlainText(f"text {at}") for at in range(100)]


def test_the_share_is_held_out_in_the_order_of_the_file():
    training, held_out = split(TEXTS, 0.1, 0)
    assert (len(training), len(held_out)) == (90, 10)
    assert sorted((*training, *held_out), key=TEXTS.index) == TEXTS
    assert sorted(held_out, key=TEXTS.index) == list(held_out)


def test_another_order_holds_out_the_same_and_another_seed_others():
    shuffled = random.Random(0).sample(TEXTS, len(TEXTS))
    assert set(split(shuffled, 0.1, 0)[1]) == set(split(TEXTS, 0.1, 0)[1])
    assert set(split(TEXTS, 0.1, 1)[1]) != set(split(TEXTS, 0.1, 0)[1])


def test_the_split_is_the_same_on_every_machine():
    held_out = split(TEXTS, 0.03, 7)[1]
    assert [example.text for example in held_out] == ["text 33", "text 64", "text 71"]


@given(
    texts=st.lists(st.text(max_size=2), min_size=1, max_size=30),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**31 - 1),
)
def test_nothing_is_lost_and_no_duplicate_is_on_both_sides(texts, share, seed):
    examples = [PlainText(text) for text in texts]
    training, held_out = split(examples, share, seed)
    assert len(training) + len(held_out) == len(examples)
    assert overlap(training, held_out) == 0
    assert training
    assert held_out or len(set(texts)) == 1


def test_overlap_counts_the_validation_examples_that_were_learned():
    assert overlap(TEXTS, [TEXTS[3], TEXTS[3], PlainText("new")]) == 2


def test_values_that_look_alike_have_other_fingerprints():
    alike = [
        Completion("ab", "c"),
        Completion("a", "bc"),
        PlainText("abc"),
        LabelledText("ab", "c"),
        LabelledText("ab", "c", ""),
        TaggedTokens(("a", "b"), ("c", "d")),
        TaggedTokens(("a",), ("b", "c", "d")),
        Translation("ab", "c"),
    ]
    assert len({fingerprint(one) for one in alike}) == len(alike)


def test_a_pictures_name_is_not_what_is_learned():
    assert fingerprint(CaptionedImage("a", "c", b"x")) == fingerprint(
        CaptionedImage("b", "c", b"x")
    )
