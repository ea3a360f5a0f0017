"""Plain NetworkPolicies: pods of the platform reach each other, all else is named.

KubeRay's own `networkPolicy` field is alpha and refused by default.
https://kubernetes.io/docs/concepts/services-networking/network-policies/
"""

from __future__ import annotations

from collections.abc import Iterable

from bestiary.deploy.manifest import HEAD, WORKER, Manifest, resource, selector
from bestiary.deploy.options import DeployOptions
from bestiary.deploy.pods import SERVE_PORT

METRICS_PORTS = (8080, 44217, 44227)  # Ray's agent; autoscaler and dashboard on the head
DASHBOARD_PORT = 8265
DNS_PORT = 53
HTTPS_PORT = 443
API_SERVER_PORTS = (HTTPS_PORT, 6443)
_OPERATOR = {"matchLabels": {"app.kubernetes.io/name": "kuberay-operator"}}


def network_policies(options: DeployOptions, *, autoscaling: bool) -> tuple[Manifest, ...]:
    """Policies add up: the first closes everything, each of the others opens one thing."""
    network = options.network
    policies = [
        _policy(options, "closed", ingress=[], egress=[]),
        _policy(options, "inside", ingress=[_inside(options, "from")], egress=[_inside(options)]),
        _policy(options, "dns", egress=[_dns(network.dns_namespace)]),
        _policy(options, "clients", ingress=[_clients(network.client_namespaces)]),
        _policy(options, "operator", component=HEAD, ingress=[_operator()]),
        _policy(options, "metrics", ingress=[_metrics(network.monitoring_namespace)]),
    ]
    if network.state_ports:
        policies.append(_policy(options, "state", egress=[{"ports": _tcp(network.state_ports)}]))
    if autoscaling:
        server = _api_server(tuple(str(block) for block in network.api_server))
        policies.append(_policy(options, "api-server", component=HEAD, egress=[server]))
    if network.weights_from_internet:
        weights = {"ports": _tcp((HTTPS_PORT,))}
        policies.append(_policy(options, "weights", component=WORKER, egress=[weights]))
    return tuple(policies)


def _policy(
    options: DeployOptions,
    name: str,
    *,
    component: str | None = None,
    ingress: list[Manifest] | None = None,
    egress: list[Manifest] | None = None,
) -> Manifest:
    """Directions that are not given stay as other policies have them."""
    spec: dict[str, object] = {"podSelector": selector(options, component), "policyTypes": []}
    types = []
    if ingress is not None:
        types.append("Ingress")
        spec["ingress"] = ingress
    if egress is not None:
        types.append("Egress")
        spec["egress"] = egress
    spec["policyTypes"] = types
    return resource("networking.k8s.io/v1", "NetworkPolicy", options, suffix=f"-{name}", spec=spec)


def _inside(options: DeployOptions, direction: str = "to") -> Manifest:
    """Every port: Ray's workers listen on ports of their choice."""
    return {direction: [{"podSelector": selector(options)}]}


def _dns(namespace: str) -> Manifest:
    ports = [{"protocol": protocol, "port": DNS_PORT} for protocol in ("UDP", "TCP")]
    return {"to": [_in_namespace(namespace)], "ports": ports}


def _clients(namespaces: tuple[str, ...]) -> Manifest:
    rule: dict[str, object] = {"ports": _tcp((SERVE_PORT,))}
    if namespaces:
        rule["from"] = [_in_namespace(name) for name in namespaces]
    return rule


def _operator() -> Manifest:
    """It hands the applications to the dashboard, and asks the proxy how it does."""
    peer = {"namespaceSelector": {}, "podSelector": _OPERATOR}
    return {"from": [peer], "ports": _tcp((DASHBOARD_PORT, SERVE_PORT))}


def _metrics(namespace: str) -> Manifest:
    return {"from": [_in_namespace(namespace)], "ports": _tcp((*METRICS_PORTS, SERVE_PORT))}


def _api_server(blocks: tuple[str, ...]) -> Manifest:
    peers = [{"ipBlock": {"cidr": block}} for block in blocks]
    return {"to": peers, "ports": _tcp(API_SERVER_PORTS)}


def _in_namespace(name: str) -> Manifest:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def _tcp(ports: Iterable[int]) -> list[Manifest]:
    return [{"protocol": "TCP", "port": port} for port in ports]
