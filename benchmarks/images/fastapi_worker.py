"""diffusers behind a plain FastAPI, one request at a time, as most begin.

python -m benchmarks.images.fastapi_worker PORT UNCONDITIONAL TEXT ENLARGING ENCODER
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Annotated, Any

import uvicorn
from fastapi import Body, FastAPI, Response

from benchmarks.images.torch_pipelines import TorchPipelines
from benchmarks.images.wire import Wish

app = FastAPI()
pipelines = TorchPipelines(*map(Path, sys.argv[2:6]))
one_at_a_time = threading.Lock()  # a pipeline's noise scheduler has the state of one run


@app.post("/make")
def make(wish: Annotated[dict[str, Any], Body()]) -> Response:
    with one_at_a_time:
        made = pipelines.make([Wish(**wish)])
    return Response(made[0], media_type="image/png")


@app.get("/ready")
def ready() -> str:
    return "yes"


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")
