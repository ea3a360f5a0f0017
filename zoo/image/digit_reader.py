"""A small network that reads digits: the judge of those that were generated, never served.

It is trained in half a minute on the same training half, by one seed, and kept in the cache.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from zoo.data.digits import CLASSES, Digits
from zoo.data.packages import SCIKIT_LEARN, cache_folder

SEED, STEPS, BATCH = 3, 600, 128
FEATURES = 48


class DigitReader(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Pictures [N, 1, 8, 8] in [-1, 1] -> logits of the ten classes."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 24, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(24, 48, 3, padding=1, stride=2),
            nn.SiLU(),
            nn.Conv2d(48, 48, 3, padding=1),
            nn.SiLU(),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(48 * 16, FEATURES),
            nn.SiLU(),
        )
        self.head = nn.Linear(FEATURES, CLASSES)

    def forward(self, pictures: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(pictures))
        return logits


@dataclass(frozen=True)
class Judge:
    """What is read, and the features before that, without gradients."""

    network: DigitReader

    @torch.no_grad()  # type: ignore[untyped-decorator]  # torch is not followed
    def read(self, pictures: Tensor) -> Tensor:
        """The likeliest digit of each: int64 [N]."""
        return self.network(pictures).argmax(-1)

    @torch.no_grad()  # type: ignore[untyped-decorator]  # as above
    def features(self, pictures: Tensor) -> Tensor:
        """[N, 48], for a Frechet distance."""
        return self.network.body(pictures)


def judge(training: Digits) -> Judge:
    """Trained on `training`, or from the cache."""
    kept = cache_folder() / f"digit-reader-{SCIKIT_LEARN.sha256[:16]}.safetensors"
    if kept.exists():
        network: DigitReader = DigitReader()
        network.load_state_dict(load_file(kept))
    else:
        network = trained(training)
        kept.parent.mkdir(parents=True, exist_ok=True)
        save_file(network.state_dict(), kept)
    network.eval()
    return Judge(network)


def trained(training: Digits, steps: int = STEPS) -> DigitReader:
    torch.manual_seed(SEED)
    network: DigitReader = DigitReader()
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.05)
    pictures = training.pictures
    for step in range(steps):
        draw = torch.Generator().manual_seed(SEED * 1_000_003 + step)
        places = torch.randint(len(training), (BATCH,), generator=draw)
        torch.manual_seed(step)  # dropout
        loss = nn.functional.cross_entropy(network(pictures[places]), training.labels[places])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval()
    return network
