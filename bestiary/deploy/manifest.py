"""What every manifest shares: names, labels, the YAML that they are written as."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

import yaml

from bestiary.deploy.options import DeployOptions

Manifest: TypeAlias = Mapping[str, object]

HEAD = "head"
WORKER = "worker"


def labels(options: DeployOptions, component: str | None = None) -> dict[str, str]:
    """https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/"""
    found = {
        "app.kubernetes.io/name": "bestiary",
        "app.kubernetes.io/instance": options.name,
        "app.kubernetes.io/part-of": "bestiary",
        "app.kubernetes.io/managed-by": "bestiary",
    }
    if component is not None:
        found["app.kubernetes.io/component"] = component
    return found


def selector(options: DeployOptions, component: str | None = None) -> Manifest:
    """All pods of this platform, or those of one component; holds over cluster upgrades."""
    match = {"app.kubernetes.io/name": "bestiary", "app.kubernetes.io/instance": options.name}
    if component is not None:
        match["app.kubernetes.io/component"] = component
    return {"matchLabels": match}


def resource(
    api_version: str,
    kind: str,
    options: DeployOptions,
    *,
    suffix: str = "",
    annotations: Mapping[str, str] | None = None,
    **body: object,
) -> Manifest:
    """`suffix` goes after the platform's name."""
    metadata: dict[str, object] = {
        "name": f"{options.name}{suffix}",
        "namespace": options.namespace,
        "labels": labels(options),
    }
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **body}


def as_yaml(manifests: Iterable[Manifest]) -> str:
    """Multi-document YAML; text of several lines is written as a block."""
    return yaml.dump_all(
        manifests,
        Dumper=_Dumper,
        sort_keys=False,
        explicit_start=True,
        width=100,
        allow_unicode=True,
    )


def block_yaml(value: object) -> str:
    """One value as YAML text, to be embedded in a manifest."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Writes shared values out each time (no anchors) and keeps line breaks readable."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
