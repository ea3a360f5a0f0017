"""The requests that wait for a row: a bounded queue with priorities, fair between tenants.

Interactive requests go before batch ones. Within a priority the tenant that was
served least goes first (the virtual token counter of arXiv:2401.00588): a tenant that
sends a thousand requests delays its own, not its neighbour's single one. Each
tenant's own requests stay in order. Policy only: no tensors, no clock.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator

from bestiary.errors import Overloaded
from bestiary.schemas.text import Priority
from deployments.text.generation import Generation

REMEMBERED_TENANTS = 4096
GENERATED_WEIGHT = 2.0  # a generated token takes a share of a step, a prompt token far less


class WaitingRequests:
    """`bound` is on all priorities together."""

    def __init__(self, bound: int) -> None:
        self.bound = bound
        self._queues: dict[Priority, OrderedDict[str, deque[Generation]]] = {
            priority: OrderedDict() for priority in Priority
        }
        self._served: OrderedDict[str, float] = OrderedDict()  # weighted tokens by tenant

    def __len__(self) -> int:
        return sum(len(queue) for tenants in self._queues.values() for queue in tenants.values())

    def __iter__(self) -> Iterator[Generation]:
        for tenants in self._queues.values():
            for queue in tenants.values():
                yield from queue

    def has(self, priority: Priority) -> bool:
        return bool(self._queues[priority])

    def add(self, generation: Generation, retry_after_s: float) -> None:
        """Raises Overloaded where the queue is full."""
        if len(self) >= self.bound:
            raise Overloaded(f"{self.bound} requests are waiting already", retry_after_s)
        tenant = generation.request.tenant
        self._lift(tenant)
        tenants = self._queues[generation.request.priority]
        tenants.setdefault(tenant, deque()).append(generation)

    def pop(self, priority: Priority) -> Generation:
        """The next one of this priority; there must be one."""
        tenants = self._queues[priority]
        tenant = min(tenants, key=lambda name: self._served.get(name, 0.0))
        found = tenants[tenant].popleft()
        if not tenants[tenant]:
            del tenants[tenant]
        self.charge(tenant, len(found.request.prompt))
        return found

    def remove(self, generation: Generation) -> None:
        """One that is not here is no fault."""
        tenants = self._queues[generation.request.priority]
        queue = tenants.get(generation.request.tenant)
        if queue is not None and generation in queue:
            queue.remove(generation)
            if not queue:
                del tenants[generation.request.tenant]

    def charge(self, tenant: str, prompt_tokens: int = 0, generated_tokens: int = 0) -> None:
        """Work that was done for a tenant."""
        work = prompt_tokens + GENERATED_WEIGHT * generated_tokens
        self._served[tenant] = self._served.get(tenant, 0.0) + work
        self._served.move_to_end(tenant)
        if len(self._served) > REMEMBERED_TENANTS:
            self._served.popitem(last=False)

    def _lift(self, tenant: str) -> None:
        """Who was away has saved nothing up: it begins level with the least served who waits."""
        waiting = {name for tenants in self._queues.values() for name in tenants}
        if tenant in waiting:
            return
        least = min((self._served.get(name, 0.0) for name in waiting), default=0.0)
        self._served[tenant] = max(self._served.get(tenant, 0.0), least)
