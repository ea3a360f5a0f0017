"""Tasks of encoders and encoder-decoders: what is sent, what is given, blocking and async alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from scripted_server import Got, Reply, ScriptedServer, refusal
from task_replies import ENTRIES, listed, ranked, task_reply

from bestiary_client import (
    AsyncBestiary,
    Bestiary,
    Classification,
    ContextOverflow,
    CrossAttention,
    LabelScore,
    MaskCandidate,
    Model,
    NextSentence,
    RankedDocument,
    Rewriting,
    Similarity,
    Span,
    UnexpectedReply,
    Usage,
)

Asking = Callable[[Bestiary], object]


@pytest.fixture
def client(server: ScriptedServer) -> Iterator[Bestiary]:
    with Bestiary(base_url=server.url, api_key="sk-1") as connected:
        yield connected


@pytest.mark.parametrize(
    ("task", "asking", "body"),
    [
        ("fill-mask", lambda c: c.fill_mask("[MASK]."), {"text": "[MASK]."}),
        (
            "fill-mask",
            lambda c: c.fill_mask(["a", "b"], top_k=3),
            {"texts": ["a", "b"], "top_k": 3},
        ),
        ("next-sentence", lambda c: c.next_sentence("a", "b"), {"first": "a", "second": "b"}),
        ("next-sentence", lambda c: c.next_sentence([("a", "b")]), {"pairs": [["a", "b"]]}),
        ("classify", lambda c: c.classify("a"), {"text": "a"}),
        ("classify", lambda c: c.classify("a", "b"), {"text": "a", "text_pair": "b"}),
        ("classify", lambda c: c.classify(["a", ("b", "c")]), {"inputs": ["a", ["b", "c"]]}),
        ("token-classify", lambda c: c.token_classify("a"), {"text": "a"}),
        (
            "token-embeddings",
            lambda c: c.token_embeddings(["a"]),
            {"texts": ["a"], "encoding_format": "base64"},
        ),
        ("similarity", lambda c: c.similarity("a", "b"), {"first": "a", "second": "b"}),
        ("similarity", lambda c: c.similarity([("a", "b")]), {"pairs": [["a", "b"]]}),
        ("explain", lambda c: c.explain("a", "b"), {"text": "a", "text_pair": "b"}),
        ("summarize", lambda c: c.summarize("a", num_beams=4), {"text": "a", "num_beams": 4}),
        (
            "translate",
            lambda c: c.translate(
                ["a"], source="en", target="fr", return_attention=True, seed=None
            ),
            {"texts": ["a"], "source": "en", "target": "fr", "return_attention": True},
        ),
    ],
)
def test_a_task_sends_what_was_said_and_nothing_else(
    server: ScriptedServer, client: Bestiary, task: str, asking: Asking, body: dict[str, object]
) -> None:
    server.will(task_reply(task))
    asking(client)
    got = server.got[0]
    assert (got.method, got.path) == ("POST", f"/v1/{task}")
    assert got.body == {"model": "auto", **body}
    assert got.headers["x-bestiary-receipt"] == "body"


def test_what_all_tasks_have_is_sent(server: ScriptedServer, client: Bestiary) -> None:
    server.will(task_reply("classify"))
    client.classify("a", model="minilm-spam", truncate=True, strict=True, timeout=7)
    assert server.got[0].body == {"model": "minilm-spam", "text": "a", "truncate": True}
    assert server.got[0].headers["x-bestiary-strict"] == "true"
    assert 6 < float(server.got[0].headers["x-bestiary-timeout"]) <= 7


def test_rerank_sends_documents_and_gives_the_best_first(
    server: ScriptedServer, client: Bestiary
) -> None:
    server.will(ranked((1, 0.7), (0, 0.2), document="b"))
    found = client.rerank("q", ["a", "b"], top_n=2, return_documents=True)
    assert found[0] == RankedDocument(1, 0.7, truncated=False, document="b")
    assert [one.index for one in found] == [1, 0]
    assert server.got[0].body == {
        "model": "auto",
        "query": "q",
        "documents": ["a", "b"],
        "top_n": 2,
        "return_documents": True,
    }


def test_a_result_says_who_answered_and_what_it_took(
    server: ScriptedServer, client: Bestiary
) -> None:
    server.will(task_reply("similarity", score=1))
    found = client.similarity("a", "a")
    assert (found.model, found.usage, found.request_id) == ("a-card", Usage(12, 0), "req-1")
    assert found[0] == Similarity(1.0, truncated=False)
    assert found.receipt is not None
    assert client.last_receipt == found.receipt


def test_results_are_in_the_order_of_the_inputs(server: ScriptedServer, client: Bestiary) -> None:
    server.will(
        listed(
            {"index": 1, "truncated": True, "score": 0.1},
            {"index": 0, "truncated": False, "score": 0.2},
        )
    )
    found = client.similarity([("a", "b"), ("c", "d")])
    assert [(one.score, one.truncated) for one in found] == [(0.2, False), (0.1, True)]
    assert len(found) == len(found[:]) == 2


def test_candidates_labels_and_spans_are_typed(server: ScriptedServer, client: Bestiary) -> None:
    server.will(*(task_reply(task) for task in ("fill-mask", "classify", "token-classify")))
    candidates = client.fill_mask("[MASK] is old.")[0].candidates
    assert candidates[0] == MaskCandidate("paris", 3000, 0.91, "paris is old.")
    labels = (LabelScore("spam", 0.98), LabelScore("ham", 0.02))
    assert client.classify("a")[0] == Classification("spam", 0.98, labels, truncated=False)
    assert client.token_classify("a")[0].spans == (Span("CODE", 0.93, 4, 11, "os.path"),)


def test_next_sentence_gives_a_probability(server: ScriptedServer, client: Bestiary) -> None:
    server.will(task_reply("next-sentence"))
    assert client.next_sentence("a", "b")[0] == NextSentence(0.97, is_next=True, truncated=False)


def test_every_token_has_its_vector(server: ScriptedServer, client: Bestiary) -> None:
    server.will(task_reply("token-embeddings"))
    (found,) = client.token_embeddings("hello")
    assert found.vectors == ([1.0, 0.0], [0.5, -0.5])
    assert (found.tokens, found.token_ids) == (("[CLS]", "hello"), (101, 7592))
    assert found.offsets == ((0, 0), (0, 5))


def test_an_explanation_has_inputs_and_attention(server: ScriptedServer, client: Bestiary) -> None:
    server.will(task_reply("explain"))
    found = client.explain("hello")
    assert (found.tokens, found.segment_ids) == (("[CLS]", "hello"), (0, 0))
    assert found.attention[0][1] == [[0.25, 0.75], [0.0, 1.0]]
    assert found.weights(0, 1) == found.attention[0][1]
    assert found.weights(0) == [[0.5, 0.5], [0.25, 0.75]]
    assert found.receipt == client.last_receipt


def test_a_translation_shows_where_it_looked(server: ScriptedServer, client: Bestiary) -> None:
    server.will(task_reply("translate"))
    (found,) = client.translate("hello", return_attention=True)
    assert (found.text, found.finish_reason) == ("bonjour", "stop")
    assert found.attention is not None
    assert found.attention.weights == [[0.9, 0.1], [0.25, 0.75]]
    assert found.attention.heat().splitlines() == [
        "        hello </s>",
        "bonjour █████ ░░░░",
        "   </s> ▒▒▒▒▒ ████",
    ]


def test_columns_that_do_not_fit_are_numbered(server: ScriptedServer, client: Bestiary) -> None:
    server.will(task_reply("explain"))
    assert client.explain("hello").heat(0, 1, width=16).splitlines() == [
        "       0  1",
        "[CLS] ▒▒ ██",
        "hello ·· ██",
        "0=[CLS] 1=hello",
    ]


def test_a_grid_that_does_not_fit_is_drawn_in_parts() -> None:
    looked = CrossAttention(("a\n", "bcd", "ef"), ("x",), (4, 5, 6), (7,), [[0.7, 0.05, 0.0499]])
    assert looked.heat(width=8).splitlines() == [
        "   0  1",
        "x ██ ░░",
        "   2",
        "x ··",
        "0=a?",
        "1=bcd",
        "2=ef",
    ]


def test_a_summary_without_attention_has_none(server: ScriptedServer, client: Bestiary) -> None:
    server.will(task_reply("summarize"))
    assert client.summarize("a")[0] == Rewriting("A title", "stop", truncated=False)


def test_embeddings_may_be_pooled_otherwise(server: ScriptedServer, client: Bestiary) -> None:
    server.will(Reply(body={"data": [], "model": "m"}))
    client.embed("a", pooling="cls")
    assert server.got[0].body is not None
    assert server.got[0].body["pooling"] == "cls"


def test_models_say_what_they_can_do(server: ScriptedServer, client: Bestiary) -> None:
    told = {"family": "seq2seq", "tasks": ["translate"], "languages": ["en-de", "en-fr"]}
    server.will(Reply(body={"id": "t", "bestiary": told}))
    expected = Model("t", family="seq2seq", tasks=("translate",), languages=("en-de", "en-fr"))
    assert client.models.get("t") == expected


@pytest.mark.parametrize(
    "asking",
    [
        lambda c: c.similarity("a"),
        lambda c: c.next_sentence([("a", "b")], "c"),
        lambda c: c.classify(["a"], "b"),
        lambda c: c.rerank("q", "one text"),
        lambda c: c.classify("a", truncat=True),
        lambda c: c.summarize("a", source="en"),
    ],
)
def test_calls_that_mean_nothing_are_refused(
    server: ScriptedServer, client: Bestiary, asking: Asking
) -> None:
    with pytest.raises(TypeError):
        asking(client)
    assert server.got == []


@pytest.mark.parametrize(
    ("task", "fields", "asking"),
    [
        ("similarity", {"score": "high"}, lambda c: c.similarity("a", "b")),
        ("similarity", {"truncated": None}, lambda c: c.similarity("a", "b")),
        ("token-embeddings", {"dimensions": 3}, lambda c: c.token_embeddings("a")),
        ("token-embeddings", {"offsets": [[0]]}, lambda c: c.token_embeddings("a")),
        ("token-embeddings", {"token_ids": [1.5]}, lambda c: c.token_embeddings("a")),
        ("explain", {"attention": [[[[1.0]]]]}, lambda c: c.explain("a")),
        ("explain", {"tokens": [1, 2]}, lambda c: c.explain("a")),
        ("translate", {"attention": {"source_tokens": []}}, lambda c: c.translate("a")),
    ],
)
def test_a_reply_of_another_shape_is_told(
    server: ScriptedServer,
    client: Bestiary,
    task: str,
    fields: dict[str, object],
    asking: Asking,
) -> None:
    server.will(task_reply(task, **fields))
    with pytest.raises(UnexpectedReply):
        asking(client)


def test_a_text_that_is_too_long_is_its_own_error(server: ScriptedServer, client: Bestiary) -> None:
    server.will(refusal(400, "context_length_exceeded", param="text"))
    with pytest.raises(ContextOverflow):
        client.classify("a")


def test_a_task_is_tried_again(server: ScriptedServer, client: Bestiary) -> None:
    server.will(refusal(503, "unavailable", {"retry-after": "0"}), task_reply("classify"))
    assert client.classify("a")[0].label == "spam"


class _ByPath(ScriptedServer):
    """Answers each task with its own reply."""

    def take(self, got: Got) -> Reply:
        self.got.append(got)
        task = got.path.removeprefix("/v1/")
        return ranked((0, 0.5)) if task == "rerank" else task_reply(task)


async def test_the_async_client_says_and_gives_the_same() -> None:
    with _ByPath() as server, Bestiary(base_url=server.url) as client:
        async with AsyncBestiary(base_url=server.url) as twin:
            given = [
                (client.fill_mask("a"), await twin.fill_mask("a")),
                (client.next_sentence("a", "b"), await twin.next_sentence("a", "b")),
                (client.classify("a", "b"), await twin.classify("a", "b")),
                (client.token_classify("a"), await twin.token_classify("a")),
                (client.token_embeddings("a"), await twin.token_embeddings("a")),
                (client.rerank("q", ["a"]), await twin.rerank("q", ["a"])),
                (client.similarity([("a", "b")]), await twin.similarity([("a", "b")])),
                (client.explain("a"), await twin.explain("a")),
                (client.summarize("a", seed=1), await twin.summarize("a", seed=1)),
                (client.translate("a", target="fr"), await twin.translate("a", target="fr")),
            ]
            assert twin.last_receipt is not None
        said = [(got.path, got.body) for got in server.got]
    assert all(one == other for one, other in given)
    assert said[0::2] == said[1::2]
    assert {path for path, _ in said} == {f"/v1/{task}" for task in (*ENTRIES, "rerank")}
