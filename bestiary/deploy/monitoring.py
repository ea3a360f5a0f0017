"""How Prometheus finds the platform.

Each pod's Ray agent exports what its processes record; the gateway's `/metrics` gathers the
same for machines without an operator. On a cluster the agents are scraped, one target a
pod: the gateway's page behind a Service would be counted once per scraped pod.
"""

from __future__ import annotations

from bestiary.deploy.manifest import Manifest, resource, selector
from bestiary.deploy.options import DeployOptions

INTERVAL = "15s"
_OURS = "ray_(bestiary_.*)"  # Ray's agents put `ray_` before every name


def metrics_service(options: DeployOptions) -> Manifest:
    """Headless: its endpoints are the pods' agents, for scrapers that read annotations."""
    return resource(
        "v1",
        "Service",
        options,
        suffix="-metrics",
        annotations={"prometheus.io/scrape": "true", "prometheus.io/port": "8080"},
        spec={
            "clusterIP": "None",
            "publishNotReadyAddresses": True,  # a pod that is not ready is worth watching
            "selector": selector(options)["matchLabels"],
            "ports": [{"name": "metrics", "port": 8080, "targetPort": "metrics"}],
        },
    )


def pod_monitor(options: DeployOptions) -> Manifest:
    """https://prometheus-operator.dev/docs/api-reference/api/#monitoring.coreos.com/v1.PodMonitor"""
    renamed = {"sourceLabels": ["__name__"], "regex": _OURS, "targetLabel": "__name__"}
    return resource(
        "monitoring.coreos.com/v1",
        "PodMonitor",
        options,
        spec={
            "namespaceSelector": {"matchNames": [options.namespace]},
            "selector": selector(options),
            "podMetricsEndpoints": [
                {
                    "port": "metrics",
                    "interval": INTERVAL,
                    "metricRelabelings": [{**renamed, "replacement": "$1"}],
                }
            ],
        },
    )
