"""A platform of one file, one job and one canary, over HTTP: each look at the job finds it further.

For whoever drives the whole API: the README, the documentation, the command line.
"""

from __future__ import annotations

from scripted_server import Got, Reply, ScriptedServer, chat_reply, refusal
from tuning_replies import (
    ESTIMATE,
    FILE_ID,
    JOB_ID,
    METRICS,
    MODEL,
    MODEL_ID,
    canary_body,
    checkpoint_body,
    file_body,
    job_body,
    message_event,
    page,
    step_event,
)

STEPS = 20
A_LOOK = 10  # steps
CURVE = b"\x89PNG curve"
DATA = b'{"messages": []}\n'
_FILE, _JOB = f"/v1/files/{FILE_ID}", f"/v1/fine_tuning/jobs/{JOB_ID}"
_MODEL = MODEL_ID.replace(":", "%3A")


class TuningPlatform(ScriptedServer):
    """`away`: so many looks at the job are answered by nobody."""

    def __init__(self) -> None:
        super().__init__()
        self.step = 0
        self.status = "running"
        self.ends_as = "succeeded"
        self.away = 0
        self.canary: dict[str, object] = {}

    def take(self, got: Got) -> Reply:
        self.got.append(got)
        path, _, query = got.path.partition("?")
        if path.startswith("/v1/tuning/canaries"):
            return self._canary(got)
        if got.method == "GET" and path == _JOB:
            return self._look()
        if got.method == "GET" and path == f"{_JOB}/events":
            return self._events(query)
        return self._rest(got, path)

    def asked(self, method: str, path: str) -> list[Got]:
        return [
            one for one in self.got if (one.method, one.path.partition("?")[0]) == (method, path)
        ]

    def _look(self) -> Reply:
        if self.step and self.away:
            self.away -= 1
            return refusal(503, "unavailable")
        if self.status == "running":
            self.step = min(STEPS, self.step + A_LOOK)
            if self.step == STEPS:
                self.status = self.ends_as
        return Reply(body=self._job())

    def _job(self) -> dict[str, object]:
        why = {"code": "engine_failure", "message": "the loss is nan", "param": None}
        return job_body(self.status, self.step, error=why if self.status == "failed" else None)

    def _events(self, query: str) -> Reply:
        done = [step_event(step) for step in range(1, self.step + 1)]
        told = [message_event(0, "evaluating the base model"), *done]
        if self.step == STEPS:
            told.append(message_event(STEPS, f"the job has {self.status}"))
        after = dict(one.split("=") for one in query.split("&")).get("after")
        newest = told[::-1]
        if after is not None:
            newest = newest[[one["id"] for one in newest].index(after) + 1 :]
        return page(*newest)

    def _rest(self, got: Got, path: str) -> Reply:
        moves = {"pause": "paused", "cancel": "cancelled", "resume": "queued"}
        move = path.removeprefix(f"{_JOB}/")
        if got.method == "POST" and move in moves:
            self.status = moves[move]
            return Reply(body=self._job())
        if got.method == "POST" and path == "/v1/files" and b"BROKEN" in got.raw:
            return refusal(400, "invalid_request", param="file")
        deleted = Reply(body={"deleted": True})
        asked = (got.body or {}).get("model")
        return {
            ("POST", "/v1/files"): Reply(body=file_body()),
            ("GET", "/v1/files"): page(file_body()),
            ("GET", _FILE): Reply(body=file_body()),
            ("GET", f"{_FILE}/content"): Reply(body=DATA),
            ("DELETE", _FILE): deleted,
            ("POST", "/v1/tuning/estimate"): Reply(body=ESTIMATE),
            ("POST", "/v1/fine_tuning/jobs"): Reply(body=job_body("queued", 0)),
            ("GET", "/v1/fine_tuning/jobs"): page(self._job()),
            ("GET", f"{_JOB}/checkpoints"): page(checkpoint_body(10), checkpoint_body(5)),
            ("GET", f"/v1/tuning/jobs/{JOB_ID}/metrics"): Reply(body=METRICS),
            ("GET", f"/v1/tuning/jobs/{JOB_ID}/curve.png"): Reply(body=CURVE),
            ("GET", "/v1/tuning/models"): page(MODEL),
            ("GET", f"/v1/tuning/models/{_MODEL}"): Reply(body=MODEL),
            ("DELETE", f"/v1/models/{_MODEL}"): deleted,
            ("POST", "/v1/chat/completions"): chat_reply(f"I am {asked}"),
        }.get((got.method, path), refusal(404, "not_found"))

    def _canary(self, got: Got) -> Reply:
        body = got.body or {}
        if got.path.endswith("/move"):
            if "promote" in body:
                self.canary.update(state="promoted", weight=1.0)
            elif "rollback" in body:
                self.canary.update(state="rolled_back", weight=0.0)
            else:
                self.canary.update(body)
        elif got.method == "POST":
            self.canary = {name: body[name] for name in ("alias", "base") if name in body}
        elif got.method == "GET" and got.path.endswith("/canaries"):
            return page(canary_body(**self.canary))
        return Reply(body=canary_body(**self.canary))
