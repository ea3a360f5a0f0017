"""`bestiary chat` and `complete`: what their options ask of the platform, and what they print."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from scripted_server import (
    DONE,
    USAGE_FRAME,
    Reply,
    ScriptedServer,
    completion_reply,
    frame,
    scored_completion,
    stream_reply,
)
from typer.testing import CliRunner

from bestiary.cli.main import app

Command = Callable[..., Result]


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        running.will(stream_reply("an ", "answer"))
        yield running


@pytest.fixture
def command(server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    (tmp_path / "key").write_text("sk-1")
    monkeypatch.setenv("BESTIARY_HOME", str(tmp_path))
    monkeypatch.setenv("BESTIARY_PORT", server.url.rpartition(":")[2])
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


def sent(server: ScriptedServer) -> dict[str, object]:
    body = server.got[0].body
    assert body is not None
    return body


def test_chat_asks_for_nothing_that_it_was_not_told(
    server: ScriptedServer, command: Command
) -> None:
    done = command("chat", "hi")
    assert done.stdout == "an answer\n"
    assert sent(server).keys() == {
        "model",
        "messages",
        "max_tokens",
        "stream",
        "stream_options",
    }


def test_sampling_options_are_sent(server: ScriptedServer, command: Command) -> None:
    command("chat", "hi", "--min-p", "0.1", "--logit-bias", "5=-100", "--logit-bias", "7=1.5")
    assert sent(server)["min_p"] == 0.1
    assert sent(server)["logit_bias"] == {"5": -100, "7": 1.5}


@pytest.mark.parametrize("what", ["chat", "complete"])
def test_an_answers_shape_is_sent(
    server: ScriptedServer, command: Command, tmp_path: Path, what: str
) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object"}')
    command(what, "hi", "--json-schema", str(schema))
    assert sent(server)["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": {"type": "object"}},
    }


def test_regexes_grammars_and_plain_json_are_sent(
    server: ScriptedServer, command: Command, tmp_path: Path
) -> None:
    grammar = tmp_path / "grammar.lark"
    grammar.write_text('start: "a"')
    command("chat", "hi", "--regex", "a+")
    command("chat", "hi", "--grammar", str(grammar))
    command("chat", "hi", "--json")
    formats = [(got.body or {})["response_format"] for got in server.got]
    assert formats == [
        {"type": "regex", "regex": "a+"},
        {"type": "grammar", "grammar": 'start: "a"'},
        {"type": "json_object"},
    ]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--json", "--regex", "a"], "give one of"),
        (["--logit-bias", "sea=1"], "not TOKEN=BIAS"),
        (["--json-schema", "/nowhere/schema.json"], "cannot read"),
        (["--tools", __file__], "not JSON"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    server: ScriptedServer, command: Command, options: list[str], told: str
) -> None:
    done = command("chat", "hi", *options)
    assert told in str(done.exception)
    assert not server.got


def test_calls_are_printed_as_lines_of_json(
    server: ScriptedServer, command: Command, tmp_path: Path
) -> None:
    tools = tmp_path / "tools.json"
    tools.write_text('[{"type": "function", "function": {"name": "look"}}]')
    function = {"name": "look", "arguments": '{"at": "sea"}'}
    record = {"index": 0, "id": "call_1", "type": "function", "function": function}
    server.will(
        Reply(
            frames=(
                frame(choices=[{"index": 0, "delta": {"tool_calls": [record]}}]),
                frame(choices=[{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]),
                USAGE_FRAME,
                DONE,
            )
        )
    )
    done = command("chat", "hi", "--tools", str(tools), "--tool-choice", "look", "--one-call")
    assert json.loads(done.stdout) == {"name": "look", "arguments": '{"at": "sea"}'}
    assert sent(server)["tools"] == json.loads(tools.read_text())
    assert sent(server)["tool_choice"] == {"type": "function", "function": {"name": "look"}}
    assert sent(server)["parallel_tool_calls"] is False


def test_logprobs_go_to_stderr(server: ScriptedServer, command: Command) -> None:
    server.will(scored_completion())
    done = command("complete", "The sea", "--best-of", "2", "--logprobs", "2", "--echo")
    assert done.stdout == "The sea\n"
    assert "' sea'" in done.stderr
    assert "-1.500" in done.stderr
    assert "' sky' -2.50" in done.stderr
    assert (sent(server)["logprobs"], sent(server)["echo"]) == (2, True)


def test_the_best_of_several_is_not_streamed(server: ScriptedServer, command: Command) -> None:
    server.will(completion_reply("the best"))
    done = command("complete", "p", "--best-of", "3")
    assert done.stdout == "the best\n"
    assert sent(server)["best_of"] == 3
    assert "stream" not in sent(server)
