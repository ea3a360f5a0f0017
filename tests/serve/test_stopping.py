"""`bestiary down` lets answers under way end, and leaves nothing running."""

from __future__ import annotations

import subprocess
import threading

import pytest

pytestmark = pytest.mark.serve


def test_a_stream_under_way_ends_before_the_platform_does(platform):
    body = {
        "model": "gecko",
        "messages": [{"role": "user", "content": "Tell me a long story."}],
        "max_tokens": 200,
        "stream": True,
    }
    stopped = threading.Thread(target=platform.command, args=("down",))
    try:
        with (
            platform.client() as client,
            client.stream("POST", "/v1/chat/completions", json=body) as reply,
        ):
            lines = reply.iter_lines()
            next(lines)
            stopped.start()
            rest = "\n".join(lines)
        stopped.join()
        assert "[DONE]" in rest
        assert '"error"' not in rest
        assert ray_processes() == []
    finally:
        assert platform.command("up", "--detach", "--wait").returncode == 0


def ray_processes() -> list[str]:
    """Of any platform: those that wrote over their environment cannot be told apart by it."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if line.startswith("ray::")]
