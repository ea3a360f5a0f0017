"""Brings Serve to what the profile says, then exits: `python -m ... SPECS RAY_ADDRESS`.

A process of its own, because a Ray driver dies with its raylet and the
supervisor must not. Applications and replicas live on in Ray's actors. Serve takes
every application that it is handed for a new version and replaces its replicas, so
it is handed only those that changed.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from pathlib import Path

import ray
from ray import serve
from ray.serve.config import HTTPOptions
from ray.serve.schema import ApplicationStatus

from bestiary.cli.platform.instance import WORKER_HOOK
from bestiary.profile.applications import GATEWAY, ApplicationSpec, built
from bestiary.profile.published import PREFIX
from bestiary.settings import Settings

# An old gateway replica may finish its answers for half a minute (Serve's drain period).
REPLACED_WITHIN_S = 60.0
POLL_S = 0.2


def apply(specs: tuple[ApplicationSpec, ...], ray_address: str, settings: Settings) -> None:
    """Deploys what changed, then removes what `specs` do not name; waits for no model."""
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
        # The gateway writes its own; Serve's has a line for every hop.
        logging_config={"enable_access_log": False},
    )
    present = set(serve.status().applications)
    record = AppliedSpecs(settings.home / "run" / "applied.json")
    changed = [
        spec for spec in specs if spec.name not in present or record.of(spec.name) != digest(spec)
    ]
    if changed:
        serve.run_many(
            [
                serve.RunTarget(built(spec), name=spec.name, route_prefix=spec.route_prefix)
                for spec in changed
            ],
            wait_for_ingress_deployment_creation=True,
            wait_for_applications_running=False,
        )
    record.write(specs)
    # Those of tuned models are the tuning service's affair.
    ours = {name for name in present if not name.startswith(PREFIX)}
    dropped = ours - {spec.name for spec in specs}
    if dropped:
        # Until then a gateway that still offers them would send requests where nobody answers.
        _wait_until_replaced(GATEWAY)
    for name in dropped:
        serve.delete(name, _blocking=False)


def _wait_until_replaced(application: str) -> None:
    """Returns when no replica of an older version is left, or after REPLACED_WITHIN_S."""
    deadline = time.monotonic() + REPLACED_WITHIN_S
    while time.monotonic() < deadline:
        state = serve.status().applications[application]
        replicas = [one.replica_states for one in state.deployments.values()]
        if state.status == ApplicationStatus.RUNNING and all(
            set(r) <= {"RUNNING"} for r in replicas
        ):
            return
        time.sleep(POLL_S)


def digest(spec: ApplicationSpec) -> str:
    return hashlib.sha256(spec.model_dump_json().encode()).hexdigest()


class AppliedSpecs:
    """What was handed to Serve last, application by application."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._digests: dict[str, str] = json.loads(path.read_text())
        except FileNotFoundError:
            self._digests = {}

    def of(self, name: str) -> str | None:
        return self._digests.get(name)

    def write(self, specs: tuple[ApplicationSpec, ...]) -> None:
        self._digests = {spec.name: digest(spec) for spec in specs}
        temporary = self._path.with_suffix(".new")
        temporary.write_text(json.dumps(self._digests))
        temporary.replace(self._path)


def read_specs(path: Path) -> tuple[ApplicationSpec, ...]:
    return tuple(ApplicationSpec.model_validate(item) for item in json.loads(path.read_text()))


if __name__ == "__main__":
    apply(read_specs(Path(sys.argv[1])), sys.argv[2], Settings())
