"""A share of a training over torch.distributed: one sum of all gradients for each step.

Not torch's DistributedDataParallel, which averages over processes: here a step's batches need
not divide by their number, and the gradients are those of one process that had all batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn

from training.share import Parted

T = TypeVar("T")

ON_CPU = "gloo"
ON_GPU = "cpu:gloo,cuda:nccl"  # words are exchanged in memory, gradients among the GPUs


class ProcessGroup:
    """See `training.share.Share`. Stands on torch's default group, which is there already."""

    def __init__(self) -> None:
        self.rank: int = distributed.get_rank()
        self.count: int = distributed.get_world_size()

    def reduce(self, learned: Sequence[nn.Parameter], loss: float) -> float:
        """One bucket: the loss, for each parameter whether it has a gradient, the gradients.

        A parameter that no batch of any process used keeps having none, as in one process: an
        optimizer would make its weights decay otherwise.
        """
        used = [float(one.grad is not None) for one in learned]
        head = torch.tensor([loss, *used], device=learned[0].device)
        bucket = torch.cat([head, *map(_flat_gradient, learned)])
        with _parted():
            distributed.all_reduce(bucket)
        head, *gradients = bucket.split([len(head), *(one.numel() for one in learned)])
        total, *processes = head.tolist()
        for one, gradient, count in zip(learned, gradients, processes, strict=True):
            one.grad = gradient.view_as(one).to(one.dtype) if count else None
        return float(total)

    def agree(self, word: T) -> T:
        said = [word]
        with _parted():
            distributed.broadcast_object_list(said, src=0, device=torch.device("cpu"))
        return said[0]


def _flat_gradient(one: nn.Parameter) -> Tensor:
    """[N] float32"""
    if one.grad is None:
        return torch.zeros(one.numel(), device=one.device)
    return one.grad.reshape(-1).float()


@contextmanager
def _parted() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # torch has no finer type for a connection that is closed
        raise Parted(f"another process is gone: {error}") from error
