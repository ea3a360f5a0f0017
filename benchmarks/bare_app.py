"""The peer of `gateway.py`: one FastAPI + uvicorn process that runs the same engine itself.

What somebody would write who needs no tiers, keys, limits, router, replicas or
metrics. Same model, same engine options, same wire:
`python -m uvicorn benchmarks.bare_app:app`.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from bestiary.garden import Garden
from bestiary.profile.applications import ReplicaArgs
from bestiary.profile.load import load_profile
from bestiary.schemas.text import ChatMessage, CountTokensRequest, Sampling, TextRequest
from deployments.text.opening import open_service
from deployments.text.service import TextService

DEPLOYMENT = "smollm2-135m-fast"


class Chat(BaseModel):
    model: str
    messages: list[ChatMessage]
    max_tokens: int | None = None
    temperature: float = 1.0
    stream: bool = False


class Tokenize(BaseModel):
    model: str
    text: str


def replica_args(home: Path) -> ReplicaArgs:
    """What the laptop profile gives gecko's replica."""
    deployment = load_profile("laptop").deployments[DEPLOYMENT]
    assert isinstance(deployment.card, str)
    return ReplicaArgs(
        deployment=DEPLOYMENT,
        card=Garden(home).card(deployment.card),
        resources=deployment.resources,
        scaling=deployment.scaling,
        queue=deployment.queue,
        text=deployment.text,
    )


@asynccontextmanager
async def _life(app: FastAPI) -> AsyncIterator[None]:
    home = Path(os.environ["BESTIARY_HOME"])
    app.state.service = await open_service(replica_args(home), home)
    yield
    await app.state.service.close()


app = FastAPI(lifespan=_life)


@app.get("/healthz")
async def healthz() -> dict[str, bool]:
    return {"ok": True}


@app.post("/v1/tokenize")
async def tokenize(body: Tokenize) -> dict[str, object]:
    counted = await app.state.service.count_tokens(CountTokensRequest(text=body.text))
    return {"tokens": counted.token_ids, "count": counted.count}


@app.post("/v1/chat/completions", response_model=None)
async def chat(body: Chat) -> StreamingResponse | dict[str, object]:
    service: TextService = app.state.service
    request = TextRequest(
        request_id=uuid.uuid4().hex,
        messages=tuple(body.messages),
        sampling=Sampling(max_tokens=body.max_tokens, temperature=body.temperature),
    )
    if body.stream:
        return StreamingResponse(_events(service, request), media_type="text/event-stream")
    text = ""
    async for chunks in service.generate(request):
        text += "".join(chunk.text for chunk in chunks)
    return {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]}


async def _events(service: TextService, request: TextRequest) -> AsyncIterator[bytes]:
    async for chunks in service.generate(request):
        for chunk in chunks:
            delta = {"choices": [{"index": 0, "delta": {"content": chunk.text}}]}
            yield b"data: " + json.dumps(delta).encode() + b"\n\n"
    yield b"data: [DONE]\n\n"
