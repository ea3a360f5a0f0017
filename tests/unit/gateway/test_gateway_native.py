"""The native tasks: what each answers, which model does, and what is refused."""

from __future__ import annotations

import base64
import json
from types import SimpleNamespace

import numpy as np
import pytest
from gateway_fakes import RUNNING, FakeSink, no_targets
from native_fakes import LONGEST, NativeDispatcher, native_args
from starlette.testclient import TestClient

from bestiary.errors import EngineFailure, Overloaded
from bestiary.profile.models import Gateway
from bestiary.state.keys import KeyScope
from services.gateway.application import Collaborators, gateway_application
from services.gateway.dialects.native_tasks import NATIVE_TASKS

MASKED = "The [MASK] is blue."
MINIMAL = {
    "/v1/fill-mask": {"text": MASKED},
    "/v1/next-sentence": {"first": "He slept.", "second": "Then he woke."},
    "/v1/classify": {"text": "you win"},
    "/v1/token-classify": {"text": "os.path joins"},
    "/v1/token-embeddings": {"text": "a b"},
    "/v1/similarity": {"first": "a", "second": "b"},
    "/v1/rerank": {"query": "blue sea", "documents": ["red", "blue sea", "blue"]},
    "/v1/explain": {"text": "a b"},
    "/v1/summarize": {"text": "the sea is wide"},
    "/v1/translate": {"text": "the sea", "target": "fr"},
}


@pytest.fixture
def door(keys, limits):
    args = native_args(Gateway(limits=limits))
    router, sink = NativeDispatcher(args), FakeSink()
    secret = keys.create("tests", scopes=[KeyScope.INFERENCE]).secret
    others = Collaborators(router, lambda: RUNNING, keys.verify, sink, no_targets)
    headers = {"authorization": f"Bearer {secret}"}
    with TestClient(gateway_application(args, others), headers=headers) as client:
        yield SimpleNamespace(client=client, router=router, sink=sink)


def answer(door, path, body):
    response = door.client.post(path, json=body)
    assert response.status_code == 200, response.text
    return response.json()


def refused(door, path, body, status=400):
    response = door.client.post(path, json=body)
    assert response.status_code == status, response.text
    return response.json()["error"]


def events(response):
    """The documents of a stream, and whether it says that it is done."""
    lines = [line[6:] for line in response.text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"], lines[-1] == "[DONE]"


def test_every_task_has_a_minimal_request_here():
    assert {f"/v1{task.path}" for task in NATIVE_TASKS} == MINIMAL.keys()


# What a task answers.


@pytest.mark.parametrize(
    ("path", "method", "model"),
    [
        ("/v1/fill-mask", "fill_mask", "tiny-bert"),
        ("/v1/next-sentence", "next_sentence", "tiny-bert"),
        ("/v1/classify", "classify", "tiny-labels"),
        ("/v1/token-classify", "token_classify", "tiny-spans"),
        ("/v1/token-embeddings", "token_embed", "tiny-encoder"),
        ("/v1/similarity", "similarity", "tiny-encoder"),
        ("/v1/rerank", "rerank", "tiny-encoder"),
        ("/v1/explain", "explain", "tiny-encoder"),
        ("/v1/summarize", "generate", "tiny-titles"),
        ("/v1/translate", "generate", "tiny-french"),
    ],
)
@pytest.mark.parametrize("named", [{}, {"model": None}, {"model": "auto"}])
def test_without_a_name_the_first_model_that_can_answers(door, path, method, model, named):
    said = answer(door, path, {**MINIMAL[path], **named})

    assert said["model"] == model
    assert door.router.asked == [method]


@pytest.mark.parametrize("path", MINIMAL)
def test_a_reply_says_who_answered_and_what_it_cost(door, path):
    response = door.client.post(path, json=MINIMAL[path], headers={"x-request-id": "r-1"})

    said = response.json()
    assert (said["id"], said["object"]) == ("r-1", "list")
    assert said["usage"]["prompt_tokens"] > 0
    assert said["usage"]["total_tokens"] == said["usage"]["prompt_tokens"] + said["usage"].get(
        "completion_tokens", 0
    )
    assert response.headers["x-bestiary-model"] == said["model"]
    assert response.headers["x-bestiary-route-reason"] == "auto"
    assert "decode" in response.headers["server-timing"]


def test_a_mask_is_filled(door):
    said = answer(door, "/v1/fill-mask", {"text": MASKED, "top_k": 2})

    assert said["data"] == [
        {
            "index": 0,
            "truncated": False,
            "candidates": [
                {"token": "sea", "token_id": 0, "score": 0.5, "sequence": "The sea is blue."},
                {"token": "sky", "token_id": 1, "score": 0.25, "sequence": "The sky is blue."},
            ],
        }
    ]


def test_five_candidates_unless_told(door):
    said = answer(door, "/v1/fill-mask", {"text": MASKED})
    assert len(said["data"][0]["candidates"]) == 5


def test_several_texts_are_answered_in_their_order(door):
    said = answer(door, "/v1/token-classify", {"texts": ["one two", "three"]})
    assert [(one["index"], one["spans"][0]["text"]) for one in said["data"]] == [
        (0, "one"),
        (1, "three"),
    ]


def test_a_pair_follows_or_does_not(door):
    pairs = [["He slept.", "Then he woke."], ["He slept.", "Prices fell."]]
    said = answer(door, "/v1/next-sentence", {"pairs": pairs})
    assert [(one["probability"], one["is_next"]) for one in said["data"]] == [
        (0.75, True),
        (0.25, False),
    ]


def test_texts_and_pairs_are_classified_together(door):
    said = answer(door, "/v1/classify", {"inputs": ["you win", ["hello", "there"]]})
    assert [(one["label"], one["score"]) for one in said["data"]] == [("spam", 0.75), ("ham", 0.75)]
    assert said["data"][0]["labels"] == [
        {"label": "spam", "score": 0.75},
        {"label": "ham", "score": 0.25},
    ]


def test_a_text_and_its_pair_are_one_input(door):
    answer(door, "/v1/classify", {"text": "hello", "text_pair": "there"})
    assert door.router.requests[0].inputs == (("hello", "there"),)


def test_a_span_has_its_characters(door):
    said = answer(door, "/v1/token-classify", {"text": "os.path joins"})
    assert said["data"][0]["spans"] == [
        {"label": "CODE", "score": 0.5, "start": 0, "end": 7, "text": "os.path"}
    ]


def test_every_token_has_a_vector(door):
    [entry] = answer(door, "/v1/token-embeddings", {"text": "a b"})["data"]
    assert entry["tokens"] == ["a", "b"]
    assert entry["offsets"] == [[0, 1], [0, 1]]
    assert entry["embeddings"] == [[0.0, 0.5], [1.0, 1.5]]
    assert entry["dimensions"] == 2


def test_packed_token_vectors_are_the_same_numbers(door):
    body = {"text": "a b", "encoding_format": "base64"}
    [entry] = answer(door, "/v1/token-embeddings", body)["data"]
    numbers = np.frombuffer(base64.b64decode(entry["embeddings"]), "<f4")
    assert numbers.tolist() == [0.0, 0.5, 1.0, 1.5]


def test_similarity_is_a_score_for_each_pair(door):
    said = answer(door, "/v1/similarity", {"pairs": [["a", "a"], ["a", "b"]]})
    assert [one["score"] for one in said["data"]] == [1.0, 0.25]


def test_documents_come_best_first(door):
    said = answer(door, "/v1/rerank", MINIMAL["/v1/rerank"])
    assert said["results"] == [
        {"index": 1, "relevance_score": 1.0, "truncated": False},
        {"index": 2, "relevance_score": 0.5, "truncated": False},
        {"index": 0, "relevance_score": 0.0, "truncated": False},
    ]


def test_documents_come_back_where_asked_for(door):
    body = {**MINIMAL["/v1/rerank"], "top_n": 1, "return_documents": True}
    said = answer(door, "/v1/rerank", body)
    assert [one["document"] for one in said["results"]] == [{"text": "blue sea"}]


def test_documents_may_be_objects_as_other_rerank_apis_have_them(door):
    body = {"query": "sea", "documents": [{"text": "sky"}, "sea"]}
    assert answer(door, "/v1/rerank", body)["results"][0]["index"] == 1


def test_attention_is_by_layer_head_and_token(door):
    [entry] = answer(door, "/v1/explain", {"text": "a b", "text_pair": "c"})["data"]
    assert entry["tokens"] == ["a", "b", "c"]
    assert entry["segment_ids"] == [0, 0, 1]
    assert entry["position_ids"] == [0, 1, 2]
    assert entry["attention"] == [[np.eye(3).tolist()]] * 2


def test_a_summary_says_why_it_ended(door):
    said = answer(door, "/v1/summarize", {"texts": ["the sea is wide", "hi"], "max_tokens": 2})
    assert [(one["text"], one["finish_reason"]) for one in said["data"]] == [
        ("THE SEA", "length"),
        ("HI", "stop"),
    ]
    assert said["usage"] == {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}


def test_what_is_said_of_decoding_reaches_the_model_and_the_rest_is_its_own(door):
    asked = {"num_beams": 4, "length_penalty": 2, "early_stopping": "never", "min_tokens": 1}
    answer(door, "/v1/summarize", {"text": "a", **asked})
    decoding = door.router.requests[0].decoding
    assert {name: getattr(decoding, name) for name in asked} == asked
    assert decoding.max_tokens is None
    assert decoding.no_repeat_ngram_size is None


def test_a_translation_shows_where_it_looked(door):
    body = {"text": "the sea", "source": "en", "target": "fr", "return_attention": True}
    [entry] = answer(door, "/v1/translate", body)["data"]
    assert entry["attention"] == {
        "source_tokens": ["the", "sea"],
        "target_tokens": ["THE", "SEA"],
        "source_token_ids": [0, 1],
        "target_token_ids": [0, 1],
        "weights": [[0.5, 0.5], [0.5, 0.5]],
    }


@pytest.mark.parametrize("target", ["fr", "de"])
def test_the_first_translator_that_has_the_languages_answers(door, target):
    said = answer(door, "/v1/translate", {"text": "sea", "source": "en", "target": target})
    assert said["model"] == {"fr": "tiny-french", "de": "tiny-german"}[target]


@pytest.mark.parametrize("name", ["tiny-german", "german"])
def test_cards_and_deployments_are_asked_by_their_names(door, name):
    assert answer(door, "/v1/translate", {"text": "a", "model": name})["model"] == "tiny-german"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/token-classify", {"texts": ["short", "long " * (LONGEST + 1)]}),
        ("/v1/summarize", {"texts": ["short", "long " * (LONGEST + 1)]}),
    ],
)
def test_a_long_text_is_cut_where_asked_and_that_is_said(door, path, body):
    assert refused(door, path, body)["code"] == "context_length_exceeded"
    said = answer(door, path, {**body, "truncate": True})
    assert [one["truncated"] for one in said["data"]] == [False, True]


def test_a_receipt_comes_in_the_body_where_asked_for(door):
    headers = {"x-bestiary-receipt": "body"}
    response = door.client.post("/v1/similarity", json=MINIMAL["/v1/similarity"], headers=headers)
    assert response.json()["bestiary"]["receipt"]["total"] > 0


def test_models_tell_their_tasks_and_languages(door):
    models = {one["id"]: one["bestiary"] for one in door.client.get("/v1/models").json()["data"]}
    assert models["tiny-french"]["family"] == "seq2seq"
    assert models["tiny-french"]["tasks"] == ["translate"]
    assert models["tiny-french"]["languages"] == ["en-fr"]
    assert "fill-mask" in models["tiny-bert"]["tasks"]
    assert models["gecko"]["tasks"] == ["chat", "complete"]
    assert "languages" not in models["tiny-bert"]


def test_pooling_is_taken_with_embeddings(door):
    body = {"model": "tiny-encoder", "input": "a", "pooling": "cls"}
    answer(door, "/v1/embeddings", body)
    assert door.router.requests[0].pooling == "cls"


# Streams.


def test_a_stream_says_what_the_whole_answer_says(door):
    body = {"texts": ["the sea is wide", "hi"], "max_tokens": 3}
    whole = answer(door, "/v1/summarize", body)
    response = door.client.post("/v1/summarize", json={**body, "stream": True})

    documents, done = events(response)
    *pieces, last = documents
    assert response.headers["content-type"].startswith("text/event-stream")
    assert done
    for entry in whole["data"]:
        own = [piece for piece in pieces if piece["index"] == entry["index"]]
        assert "".join(piece["text"] for piece in own) == entry["text"]
        assert [piece["finish_reason"] for piece in own[:-1]] == [None] * (len(own) - 1)
        assert own[-1]["finish_reason"] == entry["finish_reason"]
        assert own[-1]["truncated"] is False
    assert last["usage"] == whole["usage"]
    assert {one["object"] for one in documents} == {"summarize.chunk"}
    assert {one["model"] for one in documents} == {whole["model"]}
    assert ": bestiary-receipt " in response.text


def test_a_streams_last_piece_has_the_attention(door):
    body = {"text": "the sea", "target": "fr", "return_attention": True, "stream": True}
    documents, _ = events(door.client.post("/v1/translate", json=body))
    assert documents[-2]["attention"]["weights"] == [[0.5, 0.5], [0.5, 0.5]]


def test_a_streams_receipt_comes_in_its_last_event_where_asked_for(door):
    body = {"text": "the sea", "stream": True}
    headers = {"x-bestiary-receipt": "body"}
    documents, _ = events(door.client.post("/v1/summarize", json=body, headers=headers))
    assert documents[-1]["bestiary"]["model"] == "tiny-titles"


def test_a_failure_in_mid_stream_is_an_event_without_an_end(door):
    door.router.fail_at, door.router.failure = 1, EngineFailure("the engine broke")
    body = {"text": "the sea is wide", "stream": True}
    documents, done = events(door.client.post("/v1/summarize", json=body))
    assert not done
    assert documents[-1]["error"]["code"] == "engine_failure"
    assert door.router.rewritings[0].closed == 1


def test_a_refusal_before_the_first_piece_has_its_own_status(door):
    door.router.refusal = Overloaded("full", 3.0)
    body = {"text": "the sea is wide", "stream": True}
    response = door.client.post("/v1/summarize", json=body)
    assert response.status_code == 429
    assert response.headers["retry-after"] == "3"


def test_a_stream_past_its_deadline_says_so_and_is_closed(door):
    door.router.stall_after = 1
    body = {"text": "the sea is wide", "stream": True}
    headers = {"x-bestiary-timeout": "0.2"}
    documents, done = events(door.client.post("/v1/summarize", json=body, headers=headers))
    assert not done
    assert documents[-1]["error"]["code"] == "deadline_exceeded"
    assert door.router.rewritings[0].closed == 1


# What is refused.


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/fill-mask", {}, "text"),
        ("/v1/fill-mask", {"text": "a", "texts": ["b"]}, "text"),
        ("/v1/fill-mask", {"texts": []}, "texts"),
        ("/v1/fill-mask", {"text": ""}, "text"),
        ("/v1/fill-mask", {"text": "  "}, "text"),
        ("/v1/fill-mask", {"text": 3}, "text"),
        ("/v1/fill-mask", {"texts": ["a", ""]}, "texts[1]"),
        ("/v1/fill-mask", {"text": MASKED, "top_k": 0}, "top_k"),
        ("/v1/fill-mask", {"text": MASKED, "top_k": 101}, "top_k"),
        ("/v1/fill-mask", {"text": MASKED, "top_k": "5"}, "top_k"),
        ("/v1/fill-mask", {"text": MASKED, "model": ""}, "model"),
        ("/v1/fill-mask", {"text": MASKED, "truncate": "yes"}, "truncate"),
        ("/v1/fill-mask", {"text": MASKED, "temperature": 1}, "temperature"),
        ("/v1/next-sentence", {"first": "a"}, "second"),
        ("/v1/next-sentence", {"second": "a"}, "first"),
        ("/v1/next-sentence", {"first": "a", "second": "b", "pairs": [["a", "b"]]}, "first"),
        ("/v1/next-sentence", {"pairs": [["a"]]}, "pairs[0]"),
        ("/v1/next-sentence", {"pairs": [["a", "b"], ["a", ""]]}, "pairs[1][1]"),
        ("/v1/similarity", {"pairs": "ab"}, "pairs"),
        ("/v1/classify", {"text_pair": "a"}, "text_pair"),
        ("/v1/classify", {"inputs": ["a", ["b"]]}, "inputs[1]"),
        ("/v1/classify", {"inputs": ["a", ["b", ""]]}, "inputs[1]"),
        ("/v1/classify", {"inputs": ["a", ""]}, "inputs[1]"),
        ("/v1/token-embeddings", {"text": "a", "encoding_format": "hex"}, "encoding_format"),
        ("/v1/rerank", {"documents": ["a"]}, "query"),
        ("/v1/rerank", {"query": "a", "documents": []}, "documents"),
        ("/v1/rerank", {"query": "a", "documents": ["a", ""]}, "documents[1]"),
        ("/v1/rerank", {"query": "a", "documents": [{"title": "a"}]}, "documents[0]"),
        ("/v1/rerank", {"query": "a", "documents": ["a"], "top_n": 0}, "top_n"),
        ("/v1/explain", {"text_pair": "a"}, "text"),
        ("/v1/summarize", {"text": "a", "num_beams": 0}, "num_beams"),
        ("/v1/summarize", {"text": "a", "num_beams": 17}, "num_beams"),
        ("/v1/summarize", {"text": "a", "max_tokens": 0}, "max_tokens"),
        ("/v1/summarize", {"text": "a", "temperature": -1}, "temperature"),
        ("/v1/summarize", {"text": "a", "early_stopping": "soon"}, "early_stopping"),
        ("/v1/summarize", {"text": "a", "seed": 2**63}, "seed"),
        ("/v1/summarize", {"text": "a", "source": "en"}, "source"),
        ("/v1/translate", {"text": "a", "source": "english"}, "source"),
        ("/v1/translate", {"text": "a", "target": "FR"}, "target"),
    ],
)
def test_bad_input_names_its_field_and_reaches_no_model(door, path, body, param):
    error = refused(door, path, body)
    assert error["type"] == "invalid_request_error"
    assert error["param"].split(".")[0] == param
    assert door.router.requests == []


@pytest.mark.parametrize(
    ("path", "many", "param", "limit"),
    [
        ("/v1/fill-mask", {"texts": ["a"] * 10_000}, "texts", "2048"),
        ("/v1/classify", {"inputs": ["a"] * 10_000}, "inputs", "2048"),
        ("/v1/similarity", {"pairs": [["a", "b"]] * 10_000}, "pairs", "2048"),
        ("/v1/rerank", {"query": "a", "documents": ["a"] * 10_000}, "documents", "2048"),
        ("/v1/translate", {"texts": ["a"] * 10_000}, "texts", "256"),
    ],
)
def test_ten_thousand_inputs_at_once_are_refused_with_the_limit(door, path, many, param, limit):
    error = refused(door, path, many)
    assert error["param"] == param
    assert limit in error["message"]


@pytest.mark.parametrize("text", ["no mask", "[MASK] and [MASK]"])
@pytest.mark.parametrize("field", ["text", "texts"])
def test_what_the_replica_refuses_names_the_callers_field(door, text, field):
    body = {field: text if field == "text" else [text]}
    error = refused(door, "/v1/fill-mask", body)
    assert error["param"] == field
    assert "masks" in error["message"]


def test_beams_that_sample_are_refused(door):
    error = refused(door, "/v1/summarize", {"text": "a", "num_beams": 2, "temperature": 1})
    assert "beam search does not sample" in error["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_languages_that_a_model_has_not_are_refused_in_the_callers_words(door, stream):
    body = {"text": "a", "source": "en", "target": "it", "stream": stream}
    error = refused(door, "/v1/translate", body)
    assert error["param"] == "target"
    assert error["message"] == "give target; tiny-french translates: en-fr"


@pytest.mark.parametrize(
    ("path", "model", "can"),
    [
        ("/v1/fill-mask", "tiny-labels", "tiny-bert"),
        ("/v1/fill-mask", "gecko", "tiny-bert"),
        ("/v1/summarize", "tiny-french", "tiny-titles"),
        ("/v1/summarize", "tiny-bert", "tiny-titles"),
        ("/v1/classify", "tiny-titles", "tiny-labels"),
    ],
)
def test_a_model_without_the_task_is_refused_with_those_that_can(door, path, model, can):
    error = refused(door, path, {**MINIMAL[path], "model": model})
    assert (error["code"], error["param"]) == ("unsupported_parameter", "model")
    assert can in error["message"]


def test_an_embedding_by_a_model_that_only_classifies_is_refused(door):
    error = refused(door, "/v1/embeddings", {"model": "tiny-labels", "input": "a"})
    assert error["code"] == "unsupported_parameter"


@pytest.mark.parametrize("path", MINIMAL)
def test_an_unknown_model_is_not_found(door, path):
    error = refused(door, path, {**MINIMAL[path], "model": "tiny-bertt"}, 404)
    assert error["code"] == "model_not_found"


@pytest.mark.parametrize("path", MINIMAL)
def test_no_task_without_a_key(door, path):
    response = door.client.post(path, json=MINIMAL[path], headers={"authorization": "Bearer no"})
    assert response.status_code == 401


def test_a_slow_task_ends_at_its_deadline(door):
    door.router.stall_after = 0
    headers = {"x-bestiary-timeout": "0.1"}
    response = door.client.post("/v1/similarity", json=MINIMAL["/v1/similarity"], headers=headers)
    assert response.status_code == 504


# What operators see.


@pytest.mark.parametrize("stream", [False, True])
def test_metrics_count_a_tasks_tokens_under_its_dialect(door, stream):
    body = {"texts": ["the sea is wide", "hi"], "stream": stream}
    door.client.post("/v1/summarize", json=body)

    [(_, tags)] = door.sink.values["bestiary_requests_total"]
    assert (tags["dialect"], tags["model"], tags["status"]) == ("native", "tiny-titles", "200")
    assert [value for value, _ in door.sink.values["bestiary_prompt_tokens_total"]] == [5]
    assert [value for value, _ in door.sink.values["bestiary_generation_tokens_total"]] == [5]


def test_the_documentation_describes_every_body(door):
    described = door.client.get("/openapi.json").json()
    for task in NATIVE_TASKS:
        operation = described["paths"][f"/v1{task.path}"]["post"]
        assert operation["requestBody"]["content"]["application/json"]["schema"]
        assert task.body.__name__ in described["components"]["schemas"]
