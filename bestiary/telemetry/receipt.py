"""The latency receipt: where one request's time went.

Stages are measured where they happen, each on one clock: the gateway times
itself, the router and the whole call to the replica; the replica times its
queue, prefill and decode (`EngineTimings`). `framework` is what the call took
beyond what the replica says it worked: serialisation, Serve's hop, the replica's
own overhead. `total` is measured on its own by the outermost middleware, so that
`unaccounted` shows what the stages miss.

On the wire it is the W3C `Server-Timing` header (https://www.w3.org/TR/server-timing/),
durations in milliseconds.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass

from bestiary.schemas.text import EngineTimings

STAGES = ("gateway", "routing", "queue", "prefill", "decode", "framework")


@dataclass(frozen=True, slots=True)
class LatencyReceipt:
    """Durations in milliseconds."""

    total: float
    gateway: float = 0.0
    routing: float = 0.0
    queue: float = 0.0
    prefill: float = 0.0
    decode: float = 0.0
    framework: float = 0.0

    @property
    def unaccounted(self) -> float:
        stages = (getattr(self, stage) for stage in STAGES)
        return self.total - sum(stages, 0.0)

    def as_json(self) -> dict[str, float]:
        """`{"unit": "ms", ...}` without the unit: field name to milliseconds, rounded to 1 us."""
        return {name: round(value, 3) for name, value in asdict(self).items()}

    def as_server_timing(self) -> str:
        return ", ".join(f"{name};dur={value}" for name, value in self.as_json().items())

    @classmethod
    def parse(cls, server_timing: str) -> LatencyReceipt:
        """The inverse of `as_server_timing`; entries of other servers are ignored."""
        found = {
            name: float(value)
            for name, value in re.findall(r"([a-z]+);dur=([0-9.]+)", server_timing)
            if name == "total" or name in STAGES
        }
        return cls(**found)


def receipt(
    *, total_s: float, gateway_s: float, routing_s: float, call_s: float, engine: EngineTimings
) -> LatencyReceipt:
    """A receipt out of what each side measured, in seconds. `call_s` spans send to last chunk."""
    engine_s = engine.queue_s + engine.prefill_s + engine.decode_s
    return LatencyReceipt(
        total=total_s * 1e3,
        gateway=gateway_s * 1e3,
        routing=routing_s * 1e3,
        queue=engine.queue_s * 1e3,
        prefill=engine.prefill_s * 1e3,
        decode=engine.decode_s * 1e3,
        framework=max(0.0, call_s - engine_s) * 1e3,
    )
