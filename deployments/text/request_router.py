"""Sends a prompt to a replica that is likely to have its beginning in its prefix cache.

Serve loads this class where requests come from, into the gateway's process; so it
imports nothing of the engine. Between a prompt's homes Serve takes the one with the
shorter queue; where both are full, any other replica.
"""

from __future__ import annotations

from ray.serve.request_router import (
    FIFOMixin,
    LocalityMixin,
    MultiplexMixin,
    PendingRequest,
    RequestRouter,
    RunningReplica,
)

from bestiary.schemas.text import TextRequest
from deployments.text.affinity import HOMES, beginning, ranked

ROUTER_PATH = "deployments.text.request_router.PrefixAffinityRouter"


class PrefixAffinityRouter(FIFOMixin, LocalityMixin, MultiplexMixin, RequestRouter):  # type: ignore[misc]  # Ray is untyped
    async def choose_replicas(
        self,
        candidate_replicas: list[RunningReplica],
        pending_request: PendingRequest | None = None,
    ) -> list[list[RunningReplica]]:
        """Groups in order of preference; within one Serve compares queue lengths."""
        request = _text_request(pending_request)
        if request is None:
            return [candidate_replicas]
        by_name = {str(one.replica_id.unique_id): one for one in candidate_replicas}
        order = [by_name[name] for name in ranked(beginning(request), list(by_name))]
        return [group for group in (order[:HOMES], order[HOMES:]) if group]


def _text_request(pending: PendingRequest | None) -> TextRequest | None:
    """Calls that carry no prompt (load, token counts) go anywhere."""
    arguments = pending.args if pending is not None else ()
    return next((one for one in arguments if isinstance(one, TextRequest)), None)
