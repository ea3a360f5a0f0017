"""Commands of the tasks, through the SDK and the real gateway, before models that are invented."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from bestiary_client import BadRequest, ContextOverflow
from click.testing import Result
from loopback_gateway import LoopbackGateway
from typer.testing import CliRunner

from bestiary.cli.main import app
from bestiary.errors import InvalidRequest, Unavailable

Command = Callable[..., Result]
TASKS = (
    "fill-mask",
    "next-sentence",
    "classify",
    "token-classify",
    "rerank",
    "similarity",
    "explain",
    "summarize",
    "translate",
)
MASKED = "The [MASK] is blue."


@pytest.fixture
def command(gateway: LoopbackGateway, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("BESTIARY_HOME", str(gateway.home))
    monkeypatch.setenv("BESTIARY_PORT", str(gateway.port))
    return lambda *arguments, piped="": CliRunner().invoke(app, list(arguments), input=piped)


def lines(done: Result) -> list[str]:
    assert done.exit_code == 0, done.output
    return [" ".join(line.split()) for line in done.stdout.splitlines()]


def told(done: Result) -> dict[str, object]:
    assert done.exit_code == 0, done.output
    document: dict[str, object] = json.loads(done.stdout)
    return document


@pytest.mark.parametrize("task", TASKS)
def test_help_teaches_with_an_example(command: Command, task: str) -> None:
    assert f"Example: bestiary {task} " in command(task, "--help").stdout


def test_fill_mask_shows_the_likeliest_words(command: Command) -> None:
    assert lines(command("fill-mask", MASKED, "--top-k", "2")) == [
        "word probability text",
        "sea 0.500 The sea is blue.",
        "sky 0.250 The sky is blue.",
    ]


def test_each_line_that_is_piped_in_is_a_text(command: Command) -> None:
    done = command("fill-mask", "--top-k", "1", "--json", piped="A [MASK].\n\nB [MASK].\n")
    items = told(done)["items"]
    assert [one["candidates"][0]["sequence"] for one in items] == ["A sea.", "B sea."]  # type: ignore[index,attr-defined]


def test_next_sentence_says_whether_it_follows(command: Command) -> None:
    follows = command("next-sentence", "He slept.", "Then he woke.")
    assert lines(follows) == ["follows (probability 0.750)"]
    assert lines(command("next-sentence", "He slept.", "Tax law.")) == [
        "does not follow (probability 0.250)"
    ]


def test_classify_shows_every_label(command: Command) -> None:
    assert lines(command("classify", "you win", "hello"))[1:] == [
        "spam 0.750 spam 0.750 ham 0.250 you win",
        "ham 0.750 ham 0.750 spam 0.250 hello",
    ]


def test_classify_takes_a_pair(command: Command) -> None:
    assert told(command("classify", "you", "--pair", "win", "--json"))["model"] == "tiny-labels"
    with pytest.raises(InvalidRequest, match="one text"):
        raise command("classify", "a", "b", "--pair", "c").exception  # type: ignore[misc]


def test_token_classify_shows_spans_in_their_text(command: Command) -> None:
    assert lines(command("token-classify", "os.path joins [things]")) == [
        "os.path joins [things]",
        "label text characters score",
        "CODE 'os.path' 0-7 0.500",
    ]


def test_rerank_puts_the_best_first(command: Command) -> None:
    done = command("rerank", "blue sea", "--top-n", "2", piped="red\nblue sea\nblue\n")
    assert lines(done)[1:] == ["1.000 2 blue sea", "0.500 3 blue"]
    best = told(command("rerank", "blue", "red", "blue", "--json"))["items"][0]  # type: ignore[index]
    assert (best["index"], best["document"]) == (1, "blue")


def test_similarity_is_one_number(command: Command) -> None:
    assert lines(command("similarity", "a", "b")) == ["0.250"]


def test_explain_shows_inputs(command: Command) -> None:
    done = command("explain", "a cat", "--pair", "it sat")
    assert lines(done)[1:] == ["a 100 0 0", "cat 101 0 1", "it 102 1 2", "sat 103 1 3"]
    assert "2 layers of 1 heads" in done.stderr


def test_explain_draws_a_heads_attention(command: Command) -> None:
    done = command("explain", "a cat", "--layer", "1", "--head", "0", "--model", "labels")
    assert lines(done)[3:] == [
        "layer 1, head 0: each row looks at the columns",
        "a cat",
        "a █ ···",
        "cat · ███",
        "█ ≥ 0.7 ▓ ≥ 0.4 ▒ ≥ 0.2 ░ ≥ 0.05 · below",
    ]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--head", "0"], "needs --layer"),
        (["--layer", "2"], "no layer 2: they are 0 to 1"),
        (["--layer", "0", "--head", "1"], "no head 1: they are 0 to 0"),
    ],
)
def test_a_head_that_is_not_there_is_refused(
    command: Command, options: list[str], told: str
) -> None:
    assert told in str(command("explain", "a cat", *options).exception)


def test_summarize_takes_all_that_is_piped_in_as_one(
    command: Command, gateway: LoopbackGateway
) -> None:
    gateway.router.asked.clear()
    done = command("summarize", "--max-tokens", "3", piped="the sea\nis wide\n")
    assert done.stdout == "THE SEA IS\n"
    assert gateway.router.asked == ["stream"]


def test_several_summaries_are_a_line_each(command: Command) -> None:
    assert lines(command("summarize", "one text", "two texts")) == ["ONE TEXT", "TWO TEXTS"]


def test_translate_streams_one_text(command: Command, gateway: LoopbackGateway) -> None:
    gateway.router.asked.clear()
    assert command("translate", "the sea", "--target", "fr").stdout == "THE SEA\n"
    assert gateway.router.asked == ["stream"]


def test_translate_draws_where_it_looked(command: Command) -> None:
    done = command("translate", "the sea", "--source", "en", "--target", "de", "--attention")
    assert lines(done) == [
        "THE SEA",
        "each written row looks at the columns of the source",
        "the sea",
        "THE ▓▓▓ ▓▓▓",
        "SEA ▓▓▓ ▓▓▓",
        "█ ≥ 0.7 ▓ ≥ 0.4 ▒ ≥ 0.2 ░ ≥ 0.05 · below",
    ]


def test_json_has_the_attention_too(command: Command) -> None:
    document = told(command("translate", "the sea", "--target", "fr", "--attention", "--json"))
    (found,) = document["items"]  # type: ignore[misc]
    assert document["model"] == "tiny-french"
    assert found["attention"]["weights"] == [[0.5, 0.5], [0.5, 0.5]]


def test_what_was_cut_is_told(command: Command) -> None:
    done = command("token-classify", "short", "a " * 80, "--truncate")
    assert "cut to the model's length: text 2" in done.stderr
    streamed = command("summarize", "a " * 80, "--truncate")
    assert "text 1" in streamed.stderr


def test_what_the_platform_refuses_is_an_error(command: Command) -> None:
    assert isinstance(command("classify", "a " * 80).exception, ContextOverflow)
    no_mask = command("fill-mask", "no mask here").exception
    assert isinstance(no_mask, BadRequest)
    assert no_mask.param == "texts"


@pytest.mark.parametrize("task", ["fill-mask", "summarize", "translate", "rerank"])
def test_no_text_at_all_is_refused(command: Command, task: str) -> None:
    query = ["q"] if task == "rerank" else []
    done = command(task, *query, piped=" \n")
    assert isinstance(done.exception, InvalidRequest)
    assert "pipe one in" in str(done.exception)


def test_without_a_platform_it_says_how_to_start_one(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BESTIARY_PORT", "1")
    done = command("similarity", "a", "b")
    assert isinstance(done.exception, Unavailable)
    assert "bestiary up" in str(done.exception)


def test_embed_may_pool_otherwise(command: Command) -> None:
    done = command("embed", "a", "--pooling", "cls", "--json")
    assert len(json.loads(done.stdout)) == 1
    assert command("embed", "a", "--pooling", "max").exit_code == 2


def test_models_list_shows_families_tasks_and_languages(command: Command) -> None:
    rows = {line.split()[0]: line for line in lines(command("models", "list")) if line}
    assert "encoder" in rows["minilm-spam"]
    assert rows["minilm-spam"].endswith("classify explain")
    assert rows["opus-mt-en-fr"].endswith("translate en-fr")
