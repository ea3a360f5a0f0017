"""Every native task once, on real weights, through the whole stack.

The first request of a task waits for the start of its replica: those scale to zero.
"""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest

pytestmark = pytest.mark.serve

GUITAR = "A man plays the guitar on stage."
MUSIC = "Someone performs music with a guitar."
MARKET = "The stock market fell sharply."
SPAM = (
    "Make money fast\nDear friend, earn $5,000 a week from home, guaranteed! This is not a scam. "
    "Click here now to order your free report, or reply with REMOVE to be taken off our list."
)
HAM = (
    "Re: patch for the parser\nI tried your patch against the current tree and two of the tests "
    "still fail for me, so I think the off-by-one is in the caller. I will look again on Monday."
)
ARTICLE = (
    "The city council voted on Tuesday to close the old harbour bridge for two years while its "
    "steel is replaced. Ferries will carry people on foot, and buses will go round by the north."
)


def answered(client, task, **body):
    reply = client.post(f"/v1/{task}", json=body)
    assert reply.status_code == 200, reply.text
    said = reply.json()
    assert reply.headers["x-bestiary-model"] == said["model"]
    assert "server-timing" in reply.headers
    return said


def refused(client, task, **body):
    reply = client.post(f"/v1/{task}", json=body)
    assert reply.status_code == 400, reply.text
    return reply.json()["error"]


def models_that_can(client, task):
    listed = client.get("/v1/models").json()["data"]
    return [one["id"] for one in listed if task in one["bestiary"]["tasks"]]


def test_similarity_knows_related_from_unrelated(client):
    said = answered(client, "similarity", pairs=[[GUITAR, MUSIC], [GUITAR, MARKET]])
    related, unrelated = (one["score"] for one in said["data"])
    assert related > 0.5 > unrelated + 0.3


def test_rerank_puts_the_answer_first(client):
    documents = [MARKET, "Paris is the capital of France.", GUITAR]
    said = answered(
        client,
        "rerank",
        query="What is the capital of France?",
        documents=documents,
        top_n=2,
        return_documents=True,
    )
    assert said["results"][0]["index"] == 1
    assert len(said["results"]) == 2
    assert said["results"][0]["document"]["text"] == documents[1]


def test_token_vectors_are_what_the_embedding_is_the_mean_of(client):
    [entry] = answered(client, "token-embeddings", text=GUITAR)["data"]
    mean = np.array(entry["embeddings"]).mean(axis=0)
    reply = client.post("/v1/embeddings", json={"model": "all-minilm-l6-v2", "input": GUITAR})
    vector = reply.json()["data"][0]["embedding"]
    np.testing.assert_allclose(mean / np.linalg.norm(mean), vector, atol=1e-4)


def test_pooling_changes_the_embedding(client):
    body = {"model": "all-minilm-l6-v2", "input": GUITAR}
    vectors = [
        client.post("/v1/embeddings", json={**body, "pooling": pooling}).json()["data"][0]
        for pooling in ("mean", "cls")
    ]
    mean, first = (np.array(one["embedding"]) for one in vectors)
    assert np.isclose(np.linalg.norm(first), 1, atol=1e-4)
    assert mean @ first < 0.99


def test_attention_of_every_layer_and_head_is_shown(client):
    [entry] = answered(client, "explain", text="A cat sat.", text_pair="It slept.")["data"]
    attention = np.array(entry["attention"])
    tokens = len(entry["tokens"])
    assert attention.shape == (6, 12, tokens, tokens)
    np.testing.assert_allclose(attention.sum(axis=-1), 1, atol=1e-3)
    assert entry["segment_ids"][0] == 0
    assert entry["segment_ids"][-1] == 1
    assert entry["position_ids"] == list(range(tokens))


def test_spam_is_told_from_ham(client):
    said = answered(client, "classify", inputs=[SPAM, HAM])
    assert said["model"] == "minilm-spam"
    assert [one["label"] for one in said["data"]] == ["spam", "ham"]
    for one in said["data"]:
        assert abs(sum(label["score"] for label in one["labels"]) - 1) < 1e-3


def test_code_is_found_in_a_sentence(client):
    text = "The method get_queryset returns a QuerySet that filter() can narrow."
    said = answered(client, "token-classify", text=text)
    spans = said["data"][0]["spans"]
    assert ("class", "QuerySet") in [(span["label"], span["text"]) for span in spans]
    assert all(text[span["start"] : span["end"]] == span["text"] for span in spans)


@pytest.mark.parametrize(
    ("task", "body"),
    [
        ("fill-mask", {"text": "This function [MASK] the name of the file.", "top_k": 3}),
        ("next-sentence", {"first": "He opened the door.", "second": "Then he went in."}),
    ],
)
def test_pretraining_heads_answer_where_a_model_has_them(client, task, body):
    able = models_that_can(client, task)
    if not able:
        reply = client.post(f"/v1/{task}", json=body)
        assert reply.status_code == 404, reply.text
        pytest.skip(f"no model of this profile can do {task}")
    said = answered(client, task, **body)
    assert said["model"] in able
    [entry] = said["data"]
    if task == "fill-mask":
        scores = [one["score"] for one in entry["candidates"]]
        assert scores == sorted(scores, reverse=True)
        assert len(scores) == 3
    else:
        assert 0 <= entry["probability"] <= 1


def test_a_text_gets_a_title(client):
    said = answered(client, "summarize", texts=[ARTICLE, GUITAR], max_tokens=24)
    assert said["model"] == "t5-small-titles"
    titles = [one["text"] for one in said["data"]]
    assert all(0 < len(title) < 120 for title in titles)
    assert "bridge" in titles[0].lower() or "harbour" in titles[0].lower()
    assert said["usage"]["completion_tokens"] > 0


def test_a_streamed_title_is_the_whole_one(client):
    body = {"text": ARTICLE, "max_tokens": 24}
    [whole] = answered(client, "summarize", **body)["data"]
    reply = client.post("/v1/summarize", json={**body, "stream": True})
    assert reply.headers["content-type"].startswith("text/event-stream")
    lines = [line[6:] for line in reply.text.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    *pieces, last = (json.loads(line) for line in lines[:-1])
    assert "".join(piece["text"] for piece in pieces) == whole["text"]
    assert pieces[-1]["finish_reason"] == whole["finish_reason"]
    assert last["usage"]["completion_tokens"] > 0
    assert ": bestiary-receipt " in reply.text


def test_beams_are_batched_with_their_own_rules(client):
    asked = {"num_beams": 4, "no_repeat_ngram_size": 2, "max_tokens": 24}
    [entry] = answered(client, "summarize", text=ARTICLE, **asked)["data"]
    words = entry["text"].lower().split()
    pairs = list(pairwise(words))
    assert len(pairs) == len(set(pairs))


@pytest.mark.parametrize("model", ["translator-transformer", "translator-gru-attention"])
def test_a_translation_shows_where_it_looked(client, model):
    said = answered(
        client,
        "translate",
        model=model,
        text="Delete the selected files",
        source="en",
        target="fr",
        return_attention=True,
    )
    [entry] = said["data"]
    looked = entry["attention"]
    weights = np.array(looked["weights"])
    assert entry["text"]
    assert weights.shape == (len(looked["target_tokens"]), len(looked["source_tokens"]))
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-3)


def test_the_target_language_makes_the_difference(client):
    texts = [
        answered(client, "translate", text="Open the file", source="en", target=target)["data"]
        for target in ("fr", "de")
    ]
    french, german = (entries[0]["text"] for entries in texts)
    assert french != german


def test_a_long_text_is_refused_or_cut(client):
    long = "word " * 600
    assert refused(client, "similarity", first=long, second="a")["code"] == (
        "context_length_exceeded"
    )
    said = answered(client, "similarity", first=long, second="a", truncate=True)
    assert said["data"][0]["truncated"] is True


def test_an_unsupported_language_pair_names_those_that_are(client):
    error = refused(client, "translate", text="Hello", source="en", target="it")
    assert error["param"] == "target"
    assert "en-fr" in error["message"]


def test_a_model_without_the_task_is_refused_with_those_that_can(client):
    error = refused(client, "classify", text="a", model="translator-transformer")
    assert error["param"] == "model"
    assert "minilm-spam" in error["message"]
