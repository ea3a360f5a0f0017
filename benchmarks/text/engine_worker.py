"""Our engine alone in a process: one JSON line of asks in, one of times out.

    python -m benchmarks.text.engine_worker '{"precision": "int8", ...}'

The argument is the profile's `text` section.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import uuid
from pathlib import Path

from bestiary.garden import Garden
from bestiary.profile.applications import ReplicaArgs
from bestiary.profile.models import Queue, Resources, Scaling, TextEngine
from bestiary.progress import Silent
from bestiary.schemas.text import Constraint, ConstraintKind, Sampling, TextRequest
from bestiary.settings import Settings
from deployments.text.opening import open_service, prepare_model
from deployments.text.service import TextService

CARD = "smollm2-135m-instruct"
END_IDS = (0, 2)  # SmolLM2's end tokens, biased away so that answers have their full length


def replica_args(home: Path, options: dict[str, object]) -> ReplicaArgs:
    return ReplicaArgs(
        deployment="benchmark",
        card=Garden(home).card(CARD),
        resources=Resources(),
        scaling=Scaling(),
        queue=Queue(max_ongoing_requests=256),
        text=TextEngine.model_validate(options),
    )


def request_of(ask: dict[str, object]) -> TextRequest:
    schema = ask["schema"]
    never_end = {} if schema else {str(token): -100.0 for token in END_IDS}
    return TextRequest(
        request_id=uuid.uuid4().hex,
        token_ids=tuple(ask["prompt"]),  # type: ignore[arg-type]  # JSON
        sampling=Sampling(
            max_tokens=ask["max_tokens"],  # type: ignore[arg-type]  # JSON
            temperature=ask["temperature"],  # type: ignore[arg-type]  # JSON
            logit_bias={int(token): bias for token, bias in never_end.items()},
        ),
        constraint=Constraint(kind=ConstraintKind.JSON_SCHEMA, source=str(schema))
        if schema
        else None,
    )


async def stream(service: TextService, ask: dict[str, object], began: float) -> dict[str, object]:
    await asyncio.sleep(float(ask["at_s"]))  # type: ignore[arg-type]  # JSON
    sent = time.perf_counter() - began
    times: list[float] = []
    async for chunks in service.generate(request_of(ask)):
        now = time.perf_counter() - began
        times += [now] * sum(len(chunk.token_ids) for chunk in chunks)
    return {"sent_s": sent, "tokens_s": times}


async def serve(options: dict[str, object]) -> None:
    home = Settings().home
    args = replica_args(home, options)
    prepare_model(args, home, Silent())
    service = await open_service(args, home)
    print(json.dumps({"ready": True}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        began = time.perf_counter()
        told = await asyncio.gather(*(stream(service, ask, began) for ask in json.loads(line)))
        print(json.dumps(told), flush=True)
    await service.close()


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.argv[1])))
