"""Two processes of torch's default group: the test's own is the first, a pool has the other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import distributed, nn

from bestiary.state.database import Database
from services.tuning.trainers.run import Workshop, run_attempt
from tests.unit.tuning.small_homes import workshop_in
from training.process_group import ON_CPU, ProcessGroup

WAIT = timedelta(seconds=60)


@contextmanager
def in_group(rank: int, store: Path) -> Iterator[ProcessGroup]:
    distributed.init_process_group(
        ON_CPU, init_method=store.as_uri(), rank=rank, world_size=2, timeout=WAIT
    )
    try:
        yield ProcessGroup()
    finally:
        distributed.destroy_process_group()


def attempt_as_peer(home: Path, job: str, attempt: int, store: Path) -> bool:
    database = Database(f"sqlite:///{home / 'bestiary.db'}")
    try:
        with in_group(1, store) as share:
            return run_attempt(workshop_in(home, database), job, attempt, share=share)
    finally:
        database.close()


def reduced(rank: int, store: Path, loss: float, gradients: list[float | None]) -> list[object]:
    """The loss and the gradients that are left, of as many parameters."""
    learned = [nn.Parameter(torch.zeros(2)) for _ in gradients]
    for one, value in zip(learned, gradients, strict=True):
        one.grad = None if value is None else torch.full((2,), value)
    with in_group(rank, store) as share:
        total = share.reduce(learned, loss)
    return [total, *(None if one.grad is None else one.grad.tolist() for one in learned)]


@dataclass(frozen=True)
class Peer:
    """The second process."""

    pool: ProcessPoolExecutor

    @property
    def pid(self) -> int:
        return self.pool.submit(os.getpid).result()

    def attempt(self, workshop: Workshop, job: str, attempt: int) -> tuple[bool, Future[bool]]:
        """How the first process ended, and the second one."""
        store = workshop.home / f"store-{job}-{attempt}"
        other = self.pool.submit(attempt_as_peer, workshop.home, job, attempt, store)
        with in_group(0, store) as share:
            return run_attempt(workshop, job, attempt, share=share, tell_every_s=0.0), other


@contextmanager
def peer() -> Iterator[Peer]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        yield Peer(pool)
