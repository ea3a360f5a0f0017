"""Brings Serve to what the profile says, then exits: `python -m ... SPECS RAY_ADDRESS`.

A process of its own, because a Ray driver dies with its raylet and the
supervisor must not. Applications and replicas live on in Ray's actors.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import ray
from ray import serve
from ray.serve.config import HTTPOptions

from bestiary.cli.platform.instance import WORKER_HOOK
from bestiary.profile.applications import ApplicationSpec
from bestiary.settings import Settings


def apply(specs: tuple[ApplicationSpec, ...], ray_address: str, settings: Settings) -> None:
    """Deploys every application of `specs`, removes the others, and waits for none of them."""
    ray.init(
        address=ray_address,
        namespace="serve",
        log_to_driver=False,
        logging_level="ERROR",
        runtime_env={"worker_process_setup_hook": WORKER_HOOK},
    )
    serve.start(
        proxy_location="HeadOnly",
        http_options=HTTPOptions(host=settings.host, port=settings.port),
    )
    wanted = {spec.name for spec in specs}
    for name in set(serve.status().applications) - wanted:
        serve.delete(name, _blocking=False)
    serve.run_many(
        [
            serve.RunTarget(_built(spec), name=spec.name, route_prefix=spec.route_prefix)
            for spec in specs
        ],
        wait_for_ingress_deployment_creation=True,
        wait_for_applications_running=False,
    )


def _built(spec: ApplicationSpec) -> serve.Application:
    module, function = spec.import_path.split(":")
    application: serve.Application = getattr(importlib.import_module(module), function)(spec.args)
    return application


def read_specs(path: Path) -> tuple[ApplicationSpec, ...]:
    return tuple(ApplicationSpec.model_validate(item) for item in json.loads(path.read_text()))


if __name__ == "__main__":
    apply(read_specs(Path(sys.argv[1])), sys.argv[2], Settings())
