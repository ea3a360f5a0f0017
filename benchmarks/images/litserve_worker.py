"""diffusers behind LitServe with its batching: what waits together is made together.

A batch of different step counts cannot be one call of a pipeline: it is split into calls.

    python -m benchmarks.images.litserve_worker PORT UNCONDITIONAL TEXT ENLARGING ENCODER
"""

import sys
from collections import defaultdict
from pathlib import Path

import litserve
from fastapi import Response

from benchmarks.images.torch_pipelines import TorchPipelines
from benchmarks.images.wire import Wish

MAX_BATCH = 16
BATCH_TIMEOUT_S = 0.02


class Diffusion(litserve.LitAPI):  # type: ignore[misc]
    def __init__(self, folders: list[str]) -> None:
        super().__init__(max_batch_size=MAX_BATCH, batch_timeout=BATCH_TIMEOUT_S, api_path="/make")
        self._folders = folders

    def setup(self, device: str) -> None:
        self._pipelines = TorchPipelines(*map(Path, self._folders))

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # LitServe reads types
        return Wish(**request)

    def predict(self, wishes: list[Wish] | Wish) -> list[bytes]:
        together = wishes if isinstance(wishes, list) else [wishes]
        groups: dict[tuple[object, ...], list[int]] = defaultdict(list)
        for place, one in enumerate(together):
            groups[one.task, one.steps, one.guidance].append(place)
        made: dict[int, bytes] = {}
        for places in groups.values():
            pictures = self._pipelines.make([together[place] for place in places])
            made |= dict(zip(places, pictures, strict=True))
        return [made[place] for place in range(len(together))]

    def unbatch(self, output: list[bytes]) -> list[bytes]:
        return output

    def encode_response(self, output):  # type: ignore[no-untyped-def]
        return Response(output, media_type="image/png")


if __name__ == "__main__":
    server = litserve.LitServer(Diffusion(sys.argv[2:6]), accelerator="cpu", timeout=600)
    server.run(port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
