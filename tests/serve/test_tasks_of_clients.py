"""Every task through the SDK and through the command line, on real weights.

What the wire says is `test_native_tasks.py`'s; here it is whether both clients ask for it and
read it rightly. The first request of a task waits for the start of its replica.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from bestiary_client import Bestiary, BestiaryError

pytestmark = pytest.mark.serve

MASKED = "This function [MASK] the name of the file."
OPENED, WENT = "He opened the door.", "Then he went in."
CODE = "The method get_queryset returns a QuerySet that filter() can narrow."
SPAM = (
    "Make money fast\nDear friend, earn $5,000 a week from home, guaranteed! This is not a scam. "
    "Click here now to order your free report, or reply with REMOVE to be taken off our list."
)
HAM = "Re: patch for the parser\nTwo of the tests still fail for me. I will look again on Monday."
DOCUMENTS = ["A cat sat on a mat.", "Paris is the capital of France.", "Tax law is dull."]
QUESTION = "What is the capital of France?"
ARTICLE = (
    "The city council voted on Tuesday to close the old harbour bridge for two years while its "
    "steel is replaced. Ferries will carry people on foot, and buses will go round by the north."
)
SENTENCE = "Delete the selected files"
SPELLINGS = ("Ġ", "▁", "Ã")  # of vocabularies, which nobody should see


@pytest.fixture(scope="module")
def sdk(platform) -> Iterator[Bestiary]:
    with Bestiary(base_url=platform.url, api_key=platform.key, timeout=120) as client:
        yield client


def said(platform, *arguments: str) -> str:
    done = platform.command(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


# The SDK.


def test_fill_mask(sdk):
    filled, again = sdk.fill_mask([MASKED, MASKED], top_k=3)
    scores = [one.score for one in filled.candidates]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)
    assert all("[MASK]" not in one.sequence for one in filled.candidates)
    assert again == filled


def test_next_sentence(sdk):
    follows, other = sdk.next_sentence([(OPENED, WENT), (OPENED, "def parse(text): pass")])
    assert follows.probability > other.probability


def test_classify(sdk):
    found = sdk.classify([SPAM, HAM])
    assert [one.label for one in found] == ["spam", "ham"]
    assert found.model == "minilm-spam"
    assert found.receipt is not None


def test_token_classify(sdk):
    (one,) = sdk.token_classify(CODE)
    assert "QuerySet" in [span.text for span in one.spans]
    assert all(CODE[span.start : span.end] == span.text for span in one.spans)


def test_token_embeddings(sdk):
    (one,) = sdk.token_embeddings(OPENED)
    assert len(one.vectors) == len(one.tokens) == len(one.token_ids)
    assert {len(vector) for vector in one.vectors} == {384}


def test_rerank(sdk):
    found = sdk.rerank(QUESTION, DOCUMENTS, top_n=2, return_documents=True)
    assert [found[0].index, found[0].document, len(found)] == [1, DOCUMENTS[1], 2]


def test_similarity(sdk):
    near, far = sdk.similarity([("a cat", "a kitten"), ("a cat", "tax law")])
    assert near.score > far.score


def test_explain(sdk):
    seen = sdk.explain(OPENED, WENT)
    assert seen.segment_ids[-1] == 1
    assert len(seen.attention) == 6
    assert sum(seen.weights(0, 0)[0]) == pytest.approx(1, abs=1e-3)


def test_summarize_and_its_stream_say_the_same(sdk):
    (whole,) = sdk.summarize(ARTICLE, max_tokens=24)
    with sdk.stream_summarize(ARTICLE, max_tokens=24) as stream:
        pieces = list(stream)
    assert len(pieces) > 1
    assert "".join(pieces) == whole.text


@pytest.mark.parametrize("model", ["translator-transformer", "translator-gru-attention"])
def test_a_translations_attention_is_named_in_text(sdk, model):
    (one,) = sdk.translate(SENTENCE, model=model, source="en", target="fr", return_attention=True)
    looked = one.attention
    assert looked is not None
    assert len(looked.target_tokens) == len(looked.target_token_ids) == len(looked.weights)
    joined = "".join(looked.target_tokens)
    assert joined.removesuffix("</s>").strip() == one.text
    assert not any(mark in joined for mark in SPELLINGS)
    assert looked.heat(width=60)


def test_a_stream_of_translations(sdk):
    with sdk.stream_translate(SENTENCE, target="de") as stream:
        text = "".join(stream)
    assert text == sdk.translate(SENTENCE, target="de")[0].text


def test_what_is_wrong_is_the_sdks_own_error(sdk):
    with pytest.raises(BestiaryError, match="mask"):
        sdk.fill_mask("no mask here")


# The command line.


def test_command_fill_mask(platform):
    found = json.loads(said(platform, "fill-mask", MASKED, "--top-k", "3", "--json"))
    assert len(found["items"][0]["candidates"]) == 3
    assert "probability" in said(platform, "fill-mask", MASKED)


def test_command_next_sentence(platform):
    assert "(probability 0." in said(platform, "next-sentence", OPENED, WENT)


def test_command_classify(platform):
    first_words = [line.split()[:1] for line in said(platform, "classify", SPAM, HAM).splitlines()]
    assert [words[0] for words in first_words if words in (["spam"], ["ham"])] == ["spam", "ham"]


def test_command_token_classify(platform):
    shown = said(platform, "token-classify", CODE)
    assert CODE in shown
    assert "'QuerySet'" in shown


def test_command_rerank(platform):
    assert DOCUMENTS[1] in said(platform, "rerank", QUESTION, *DOCUMENTS, "--top-n", "1")


def test_command_similarity(platform):
    assert -1 <= float(said(platform, "similarity", "a cat", "a kitten")) <= 1


def test_command_explain(platform):
    shown = said(platform, "explain", OPENED, "--pair", WENT, "--layer", "0", "--head", "0")
    assert "[CLS]" in shown
    assert "layer 0, head 0" in shown


def test_command_summarize(platform):
    assert 0 < len(said(platform, "summarize", ARTICLE, "--max-tokens", "24").strip()) < 120


def test_command_translate_draws_attention_in_text(platform):
    shown = said(platform, "translate", SENTENCE, "--source", "en", "--target", "fr", "--attention")
    assert "≥ 0.7" in shown
    assert "Delete" in shown  # a column of the source
    assert not any(mark in shown for mark in SPELLINGS)


def test_command_refusal_is_one_clear_line(platform):
    done = platform.command("translate", SENTENCE, "--source", "en", "--target", "it")
    assert done.returncode == 1
    assert "en-fr" in done.stderr
    assert "Traceback" not in done.stderr
