"""Which pods the profile's replicas need: one CPU group, one group per number of GPUs.

Pure arithmetic over the profile. A deployment that takes a fraction of a GPU shares a pod
of one GPU with others; one that takes N > 1 gets pods of N.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bestiary.deploy.options import PodSize
from bestiary.profile.models import Profile, Resources, Scaling, Tuning

DEFAULT_MEMORY_GIB = 2.0  # of a replica whose profile does not say
OVERHEAD_GIB = 2  # Ray's agents, its object store (1 GiB, see pods.py) and HAProxy
_ROUNDING = 1e-9  # 5 replicas of 0.2 CPU fill one


@dataclass(frozen=True, slots=True)
class Demand:
    """What one replica takes."""

    gpus: float
    cpus: float
    memory_gib: float


@dataclass(frozen=True, slots=True)
class WorkerGroup:
    """Pods of one shape, and how many of them at least and at most."""

    name: str
    cpus: int
    memory_gib: int
    gpus: int
    min_replicas: int
    max_replicas: int


def worker_groups(
    profile: Profile, deployments: Iterable[str], cpu_worker: PodSize
) -> tuple[WorkerGroup, ...]:
    """Groups for the gateway, for trainers, and for those deployments that run.

    `cpu_worker` is the least that a CPU pod gets. A gateway of several replicas has
    pods on at least two nodes to be spread over.
    """
    gateway = (profile.gateway.resources, profile.gateway.scaling)
    found: dict[int, list[tuple[Resources, Scaling]]] = {}
    for resources, scaling in (
        gateway,
        *((profile.deployments[name].resources, profile.deployments[name].scaling)
          for name in deployments),
        *_tuning(profile.tuning),
    ):  # fmt: skip
        found.setdefault(math.ceil(resources.gpus), []).append((resources, scaling))
    home = math.ceil(gateway[0].gpus)  # 0, unless somebody gives the gateway a GPU
    spread = min(2, profile.gateway.scaling.min_replicas)
    return tuple(
        _group(gpus, members, cpu_worker, spread if gpus == home else 0)
        for gpus, members in sorted(found.items())
    )


def _tuning(tuning: Tuning | None) -> Iterator[tuple[Resources, Scaling]]:
    """The service, and trainers: none while no job runs, Ray asks for pods when one does."""
    if tuning is None:
        return
    yield tuning.resources, Scaling()
    trainer = tuning.trainer
    yield (
        Resources(cpus=trainer.cpus, gpus=trainer.gpus, memory_gib=trainer.memory_gib),
        Scaling(min_replicas=0, max_replicas=tuning.max_running),
    )


def pods_needed(demands: Sequence[Demand], pod: Demand) -> int:
    """Pods that hold all demands: first fit, the largest first."""
    free: list[Demand] = []
    for demand in sorted(demands, key=_size, reverse=True):
        fits = (index for index, left in enumerate(free) if _fits(demand, left))
        index = next(fits, None)
        if index is None:
            free.append(_less(pod, demand))
        else:
            free[index] = _less(free[index], demand)
    return len(free)


def _group(
    gpus: int, members: list[tuple[Resources, Scaling]], cpu_worker: PodSize, spread: int
) -> WorkerGroup:
    pod = _gpu_pod(gpus, members) if gpus else _cpu_pod(members, cpu_worker)
    least = pods_needed(_demands(members, "min"), pod)
    most = pods_needed(_demands(members, "max"), pod)
    return WorkerGroup(
        name=f"gpu-{gpus}" if gpus else "cpu",
        cpus=int(pod.cpus),
        memory_gib=int(pod.memory_gib) + OVERHEAD_GIB,
        gpus=gpus,
        min_replicas=max(least, spread),
        max_replicas=max(most, least, spread, 1),
    )


def _cpu_pod(members: list[tuple[Resources, Scaling]], least: PodSize) -> Demand:
    """Holds the largest replica."""
    demands = [_demand(resources) for resources, _ in members]
    cpus = max(demand.cpus for demand in demands)
    memory = max(demand.memory_gib for demand in demands)
    return Demand(
        gpus=0,
        cpus=max(least.cpus, math.ceil(cpus)),
        memory_gib=max(least.memory_gib - OVERHEAD_GIB, math.ceil(memory)),
    )


def _gpu_pod(gpus: int, members: list[tuple[Resources, Scaling]]) -> Demand:
    """Holds as many replicas of each member as its GPUs do: no GPU lies idle for want of CPU."""
    cpus = memory = 0.0
    for resources, _ in members:
        demand = _demand(resources)
        together = math.floor(gpus / demand.gpus + _ROUNDING)
        cpus = max(cpus, together * demand.cpus)
        memory = max(memory, together * demand.memory_gib)
    return Demand(gpus=gpus, cpus=max(1, math.ceil(cpus)), memory_gib=math.ceil(memory))


def _demands(members: list[tuple[Resources, Scaling]], bound: str) -> list[Demand]:
    return [
        _demand(resources)
        for resources, scaling in members
        for _ in range(scaling.min_replicas if bound == "min" else scaling.max_replicas)
    ]


def _demand(resources: Resources) -> Demand:
    memory = DEFAULT_MEMORY_GIB if resources.memory_gib is None else resources.memory_gib
    return Demand(gpus=resources.gpus, cpus=resources.cpus, memory_gib=memory)


def _size(demand: Demand) -> tuple[float, float, float]:
    return (demand.gpus, demand.cpus, demand.memory_gib)


def _fits(demand: Demand, left: Demand) -> bool:
    pairs = zip(_size(demand), _size(left), strict=True)
    return all(need <= free + _ROUNDING for need, free in pairs)


def _less(left: Demand, demand: Demand) -> Demand:
    return Demand(
        gpus=left.gpus - demand.gpus,
        cpus=left.cpus - demand.cpus,
        memory_gib=left.memory_gib - demand.memory_gib,
    )
