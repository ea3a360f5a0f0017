"""One gateway replica under Ray Serve: builds the application's collaborators, and nothing else.

The only door between the gateway and Ray. User code runs on the replica's event
loop (throughput mode), so what blocks goes to a thread.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import ray
from fastapi import FastAPI
from ray import serve

from bestiary.errors import Unavailable
from bestiary.garden import Garden
from bestiary.profile.applications import GatewayArgs
from bestiary.settings import Settings
from bestiary.state.canaries import Canaries
from bestiary.state.database import Database
from bestiary.state.keys import Keys
from bestiary.state.published_models import PublishedModels
from bestiary.telemetry.ray_sink import RaySink
from services.gateway.application import Collaborators, gateway_application
from services.gateway.image_store import ImageStore
from services.gateway.metrics import discovered
from services.router.arms import ArmRecorder
from services.router.dispatcher import Dispatcher
from services.router.live_rules import LiveRules
from services.router.load_board import LoadBoard
from services.router.model_handle import ModelHandle, ServeModelHandle
from services.tuning.service import TuningService

DEPLOYING_RETRY_AFTER_S = 3.0
_DISCOVERY_FILE = "prom_metrics_service_discovery.json"


@serve.ingress()
class Gateway:
    """The public door."""

    def __init__(self, args: GatewayArgs) -> None:
        self._args = args
        # Made when first needed, so the order in which applications start is free; a raise
        # (not there yet) is not remembered.
        self._handle_for = functools.cache(_handle_for)
        self._database = Database(Settings().resolved_database_url)
        limits = args.profile.gateway.limits
        self._image_store = ImageStore(
            Settings().home / "blobs" / "images",
            max_bytes=int(limits.image_store_mb * 2**20),
            max_age_s=limits.image_url_minutes * 60,
        )
        self._board = LoadBoard(
            args.profile.deployments,
            [model.deployment for model in args.served],
            self._handle_for,
            running_replicas,
        )
        canaries = Canaries(self._database)
        self._arms = ArmRecorder(canaries.count)
        self._rules = LiveRules(
            args, Settings().home, PublishedModels(self._database), canaries, self._board
        )

    def __serve_build_asgi_app__(self) -> FastAPI:
        args = self._args
        dispatcher = Dispatcher(
            self._rules,
            self._board,
            self._handle_for,
            arms=self._arms,
            default_deadline_s=args.profile.gateway.limits.request_timeout_s,
        )
        others = Collaborators(
            dispatch=dispatcher,
            loads=self._board.snapshot,
            look_up=Keys(self._database).verify,
            sink=RaySink(),
            metrics_targets=metrics_targets,
            image_store=self._image_store,
            tuning=self._tuning(),
        )
        return gateway_application(args, others, self._life, server_echoes_request_id=True)

    def _tuning(self) -> TuningService | None:
        settings, home = self._args.profile.tuning, Settings().home
        if settings is None:
            return None
        return TuningService(self._database, home / "blobs" / "files", Garden(home), settings)

    @asynccontextmanager
    async def _life(self, app: FastAPI) -> AsyncIterator[None]:
        await self._rules.look()
        await self._board.refresh()
        for background in (self._rules, self._board, self._arms):
            background.start()
        sweeping = asyncio.create_task(self._image_store.sweep_for_ever())
        try:
            yield
        finally:
            sweeping.cancel()
            for background in (self._rules, self._board, self._arms):
                await background.close()
            self._database.close()


def _handle_for(deployment: str) -> ModelHandle:
    """Raises Unavailable for one that Serve has not heard of: a tuned model is on its way there."""
    try:
        return ServeModelHandle(serve.get_deployment_handle(deployment, deployment))
    except KeyError as error:
        raise Unavailable(f"{deployment} is being deployed", DEPLOYING_RETRY_AFTER_S) from error


async def running_replicas() -> Mapping[str, int]:
    """By Serve application, which is named after its deployment."""
    status = await asyncio.to_thread(serve.status)
    return {
        name: application.deployments[name].replica_states.get("RUNNING", 0)
        for name, application in status.applications.items()
        if name in application.deployments
    }


async def metrics_targets() -> Sequence[str]:
    """From Ray's service-discovery file on the head node; elsewhere from the list of nodes."""
    return await asyncio.to_thread(_metrics_targets)


def _metrics_targets() -> Sequence[str]:
    session = Path(ray._private.worker._global_node.get_session_dir_path())
    for folder in (session, session.parent):
        if found := discovered(folder / _DISCOVERY_FILE):
            return found
    return [
        f"{node['NodeManagerAddress']}:{node['MetricsExportPort']}"
        for node in ray.nodes()
        if node["Alive"]
    ]
