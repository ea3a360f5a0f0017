"""What operators and probes ask: /healthz, /readyz, /metrics. No dialect, no models."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Depends, Request, Response

from services.gateway.answering import json_answer
from services.gateway.auth import Dependency
from services.gateway.metrics import CONTENT_TYPE, MetricsPage
from services.gateway.readiness import Readiness


def platform_routes(
    readiness: Readiness, metrics: MetricsPage, guards_of_metrics: Sequence[Dependency]
) -> APIRouter:
    """Probes need no key; /metrics has the guards that the profile asks for."""
    routes = APIRouter(tags=["Platform"])

    @routes.get("/healthz")
    async def healthz() -> Response:
        """200 while this process lives; says nothing of the models."""
        return json_answer({"status": "ok"})

    @routes.get("/readyz")
    async def readyz() -> Response:
        """200 when every tier that should answer can, else 503; the body says what is missing."""
        ready, report = readiness.report()
        return json_answer(report, 200 if ready else 503)

    @routes.get("/metrics", dependencies=[Depends(guard) for guard in guards_of_metrics])
    async def metrics_page(request: Request) -> Response:
        """Prometheus text of all replicas: `bestiary_*`, and Ray's own `ray_*`."""
        return Response(await metrics.text(), headers={"content-type": CONTENT_TYPE})

    return routes
