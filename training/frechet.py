"""How far one cloud of feature vectors lies from another. Knows nothing of what they stand for."""

from __future__ import annotations

import torch
from torch import Tensor


def frechet_distance(features: Tensor, references: Tensor) -> float:
    """Between two clouds of feature vectors [N, D] and [M, D], each taken for a Gaussian:
    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) (arXiv:1706.08500, whose FID has Inception's
    features: this has not, so call it by its own name)."""
    one, other = features.double(), references.double()
    means = (one.mean(0) - other.mean(0)).square().sum()
    first, second = torch.cov(one.T), torch.cov(other.T)
    # The trace of (C1 C2)^(1/2) is that of the symmetric (C1^(1/2) C2 C1^(1/2))^(1/2).
    root = _root(first)
    crossed = torch.linalg.eigvalsh(root @ second @ root).clamp(min=0).sqrt().sum()
    return float(means + first.trace() + second.trace() - 2 * crossed)


def _root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T
