"""The README's code runs, top to bottom, as one program against a server that speaks the wire."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from image_replies import generated_row, image_reply, image_stream, news
from scripted_server import (
    COUNT,
    Got,
    Reply,
    chat_reply,
    refusal,
    scored_completion,
    stream_reply,
    tool_call_reply,
    vectors_reply,
)
from task_replies import ENTRIES, ending, piece, ranked, rewrite_stream, task_reply
from tuning_platform import TuningPlatform
from tuning_replies import MODEL_ID

TUNING = ("/v1/files", "/v1/fine_tuning/", "/v1/tuning/")
README = Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


class Platform(TuningPlatform):
    """Answers by path, where the scripted one answers by turn."""

    def take(self, got: Got) -> Reply:
        body = got.body or {}
        if got.path.startswith(TUNING) or body.get("model") == MODEL_ID:
            return super().take(got)
        if body.get("model") == "unicorn":
            return refusal(404, "model_not_found")
        if body.get("response_format"):
            return chat_reply('{"mood": "calm", "waves": 3}')
        if body.get("tools"):
            return tool_call_reply()
        if body.get("echo"):
            return scored_completion()
        if got.path.startswith("/v1/images/"):
            done = news(4, image=generated_row(7))
            return (
                image_stream(news(1), done) if body.get("stream") else image_reply(generated_row(7))
            )
        task = got.path.removeprefix("/v1/")
        if task == "rerank":
            return ranked((0, 0.7))
        if task in ENTRIES:
            streamed = rewrite_stream(piece("A ti"), ending("tle"))
            return streamed if body.get("stream") else task_reply(task)
        if body.get("stream"):
            return stream_reply("one, ", "two")
        return {
            "/v1/chat/completions": chat_reply("sunlight"),
            "/v1/embeddings": vectors_reply((1.0, 0.0), (0.0, 1.0)),
            "/v1/tokenize": COUNT,
            "/v1/models": Reply(body={"data": [{"id": "gecko"}]}),
        }[got.path]


def test_every_block_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tickets.jsonl").write_text("{}")
    names: dict[str, object] = {}
    with Platform() as platform:
        monkeypatch.setenv("BESTIARY_URL", platform.url)
        for number, block in enumerate(BLOCKS):
            exec(compile(block, f"README block {number}", "exec"), names)
    said = capsys.readouterr().out
    assert len(BLOCKS) == 13
    told = ("sunlight", "total_ms=10.0", "one, two", "no: model_not_found req-1", "look {'at'")
    for expected in (*told, " sea -1.5 [' sea', ' sky']"):
        assert expected in said
    assert names["sea"] == {"mood": "calm", "waves": 3}
    assert names["names"] == ["gecko"]
    assert names["steps"] == [1, 4]
    assert (names["label"], names["words"], names["follows"]) == ("spam", ["paris", "rome"], True)
    assert (names["alike"], names["best"], names["title"]) == (0.83, 0, "A title")
    for expected in ("90.0", "the job has succeeded", "3.0 0.5 True", f"I am {MODEL_ID}"):
        assert expected in said
    assert "A title\nbonjour [0.9, 0.1]\n        hello </s>" in said
