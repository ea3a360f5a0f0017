"""Prints what Serve could not start, as JSON on one line, then exits: `python -m ... RAY_ADDRESS`.

A process of its own, as `serve_driver.py` is: whoever asks needs a deadline, and
`ray.init` to a dead node waits for ten minutes. Starts nothing.
"""

from __future__ import annotations

import json
import sys

import ray
from ray import serve
from ray.serve.schema import ApplicationStatus, DeploymentStatusOverview

_GAVE_UP = (ApplicationStatus.DEPLOY_FAILED, ApplicationStatus.UNHEALTHY)


def failures(ray_address: str) -> dict[str, list[str]]:
    """By application: its failed deployment ("" where it has none) and Serve's message."""
    ray.init(address=ray_address, namespace="serve", log_to_driver=False, logging_level="ERROR")
    return {
        name: _told(application.message, application.deployments)
        for name, application in serve.status().applications.items()
        if application.status in _GAVE_UP
    }


def _told(message: str, deployments: dict[str, DeploymentStatusOverview]) -> list[str]:
    """The application's own message only names the deployment that has the reason."""
    for name, one in deployments.items():
        if one.status in ("DEPLOY_FAILED", "UNHEALTHY"):
            return [name, one.message]
    return ["", message]


if __name__ == "__main__":
    print(json.dumps(failures(sys.argv[1])))
