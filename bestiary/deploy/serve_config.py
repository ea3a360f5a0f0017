"""Serve applications -> `serveConfigV2`: the same import paths and arguments as on the laptop.

https://docs.ray.io/en/latest/serve/api/doc/ray.serve.schema.ServeDeploySchema.html
"""

from __future__ import annotations

from collections.abc import Sequence

from bestiary.deploy.manifest import Manifest, block_yaml
from bestiary.deploy.pods import SERVE_PORT
from bestiary.profile.applications import ApplicationSpec


def serve_config(applications: Sequence[ApplicationSpec]) -> str:
    """YAML text."""
    return block_yaml(
        {
            "proxy_location": "EveryNode",
            # Every interface of the pod: the network policies say who may come.
            "http_options": {"host": "0.0.0.0", "port": SERVE_PORT},  # noqa: S104
            "logging_config": {"encoding": "JSON", "enable_access_log": False},
            "applications": [_application(spec) for spec in applications],
        }
    )


def _application(spec: ApplicationSpec) -> Manifest:
    return {
        "name": spec.name,
        "import_path": spec.import_path,
        "route_prefix": spec.route_prefix,
        "args": spec.args,
    }
