"""The emoji embedder as a judge of other models: the artefact, as it is committed.

Frechet distances here are on its 128 features, and are called by that name only.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from training.architectures.image_embedder import ImageEmbedder
from training.frechet import frechet_distance
from zoo.data.emoji import EmojiSet, halved, small
from zoo.image.emoji_embedder import embedded, features_of, retrieval_among
from zoo.image.prompt_states import PromptEncoder
from zoo.recipe import ZOO

EMBEDDER = "emoji-embedder"
SAID = "on the 128 features of `emoji-embedder`, a network of this zoo"


@cache
def embedder() -> ImageEmbedder:
    return ImageEmbedder.from_pretrained(ZOO / EMBEDDER)


def distance(pictures: Tensor, references: Tensor) -> float:
    """Frechet, between pictures [N, 3, 32 or 64, ...] in [-1, 1]."""
    return frechet_distance(
        features_of(embedder(), shrunk(pictures)), features_of(embedder(), shrunk(references))
    )


def floor(found: EmojiSet) -> float:
    """The distance of one half of a set's pictures to the other: what no model can be below."""
    pictures = small(found.pixels)
    order = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(0))
    half = len(order) // 2
    return distance(pictures[order[:half]], pictures[order[half:]])


def retrieval(pictures: Tensor, titles: Sequence[str], encoder: PromptEncoder) -> float:
    """The share of pictures whose own title is the nearest of 20; see `retrieval_among`."""
    vectors = embedded(embedder(), shrunk(pictures))
    return retrieval_among(vectors, encoder.sentences(titles), titles)


def shrunk(pictures: Tensor) -> Tensor:
    """To the embedder's 32 pixels a side."""
    return halved(pictures) if pictures.shape[-1] == 64 else pictures
