"""Who the pods are and how many of them a drain may take: ServiceAccount, disruption budgets."""

from __future__ import annotations

from bestiary.deploy.manifest import WORKER, Manifest, resource, selector
from bestiary.deploy.options import DeployOptions


def service_account(options: DeployOptions) -> Manifest:
    """No token is mounted by default; the head asks for one where it scales the cluster.

    KubeRay binds the autoscaler's role to this account by itself.
    """
    return resource("v1", "ServiceAccount", options, automountServiceAccountToken=False)


def worker_budget(options: DeployOptions) -> Manifest:
    """One worker at a time. The head has none: with one replica it would block every drain."""
    return resource(
        "policy/v1",
        "PodDisruptionBudget",
        options,
        suffix="-workers",
        spec={"maxUnavailable": 1, "selector": selector(options, WORKER)},
    )
