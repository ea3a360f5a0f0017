"""Pictures beside their words: the contrast that trains the embedder, and how often it is right.

What it was trained for is to judge: whether a generated picture shows its prompt, which of several
shows it best, and how far generated pictures are from drawn ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from training.architectures.image_embedder import ImageEmbedder, ImageEmbedderConfig
from zoo.data.captions import captions_of, title_of
from zoo.data.emoji import EmojiSet, even_weights, small
from zoo.image.emoji_vae import varied
from zoo.image.prompt_states import PromptEncoder

BATCH = 128
SHARPNESS = 14.0  # of the softmax over cosines
AMONG = 20  # captions
AT_ONCE = 256


class EmbedderTrainee:
    """See `training.loop.Trainee`."""

    model: ImageEmbedder

    def __init__(
        self, training: EmojiSet, held_out: EmojiSet, encoder: PromptEncoder, seed: int
    ) -> None:
        torch.manual_seed(seed)
        self.model = ImageEmbedder(ImageEmbedderConfig())
        self.training, self.held_out = training, held_out
        self._seed = seed
        self._weights = even_weights(training)
        said = [captions_of(one) for one in training.pictures]
        texts = sorted({text for one in said for text, _ in one})
        places = {text: at for at, text in enumerate(texts)}
        self._vectors = encoder.sentences(texts)
        self._captions = [[places[text] for text, _ in one] for one in said]
        self._chances = [[chance for _, chance in one] for one in said]
        self._held_out_vectors = encoder.sentences([title_of(one) for one in held_out.pictures])
        self._training_vectors = encoder.sentences([title_of(one) for one in training.pictures])

    def loss(self, step: int) -> Tensor:
        """Each picture has to find its caption among the batch's, and each caption its picture."""
        draw = torch.Generator().manual_seed(self._seed * 1_000_003 + step)
        places = torch.multinomial(self._weights, BATCH, replacement=False, generator=draw)
        pictures = jittered(varied(small(self.training.pixels[places]), draw), draw)
        said = [self._drawn(at, draw) for at in places.tolist()]
        words = self._vectors[torch.tensor(said)]
        cosines = (self.model(pictures).float() @ words.T) * SHARPNESS
        # Two drawings of one emoji may meet in a batch: both captions are right.
        names = [self.training.pictures[at].base for at in places.tolist()]
        right = torch.tensor([[one == other for other in names] for one in names]).float()
        right = right / right.sum(1, keepdim=True)
        return (
            nn.functional.cross_entropy(cosines, right)
            + nn.functional.cross_entropy(cosines.T, right)
        ) / 2

    def measure(self) -> Mapping[str, float]:
        return {
            "retrieval among 20": self.retrieval(held_out=True),
            "retrieval among 20, trained on": self.retrieval(held_out=False),
        }

    def retrieval(self, *, held_out: bool) -> float:
        """The share of real pictures without skin tone whose own title is the nearest of 20."""
        found = self.held_out if held_out else self.training
        vectors = self._held_out_vectors if held_out else self._training_vectors
        plain = [at for at, one in enumerate(found.pictures) if one.tone is None]
        pictures = embedded(self.model, small(found.pixels[plain]))
        titles = [title_of(found.pictures[at]) for at in plain]
        return retrieval_among(pictures, vectors[plain], titles)

    def _drawn(self, place: int, draw: torch.Generator) -> int:
        chances = torch.tensor(self._chances[place])
        return self._captions[place][int(torch.multinomial(chances, 1, generator=draw))]


def jittered(pictures: Tensor, draw: torch.Generator) -> Tensor:
    """A little noise, and contrast and brightness of each picture's own."""
    count = len(pictures)
    contrast = 1 + 0.2 * (torch.rand(count, 1, 1, 1, generator=draw) - 0.5)
    noise = torch.randn(pictures.shape, generator=draw)
    amount = 0.1 * torch.rand(count, 1, 1, 1, generator=draw)
    return 1 - (1 - pictures) * contrast + noise * amount


@torch.no_grad()  # type: ignore[untyped-decorator]  # torch is not followed
def embedded(model: ImageEmbedder, pictures: Tensor) -> Tensor:
    """Unit vectors [N, 384] of pictures [N, 3, 32, 32]."""
    return torch.cat([model(part) for part in pictures.split(AT_ONCE)])


@torch.no_grad()  # type: ignore[untyped-decorator]  # as above
def features_of(model: ImageEmbedder, pictures: Tensor) -> Tensor:
    """[N, 128], for a Frechet distance."""
    return torch.cat([model.features(part) for part in pictures.split(AT_ONCE)])


def retrieval_among(
    pictures: Tensor, words: Tensor, titles: Sequence[str], among: int = AMONG, seed: int = 0
) -> float:
    """The share of pictures [N, E] that are nearer to their own words [N, E] than to those of
    `among` - 1 others, drawn from the same N, none of the same title."""
    draw = torch.Generator().manual_seed(seed)
    cosines = pictures @ words.T
    same = torch.tensor([[one == other for other in titles] for one in titles])
    right = 0
    for row, own in enumerate(cosines.diagonal().tolist()):
        others = torch.nonzero(~same[row])[:, 0]
        drawn = others[torch.randperm(len(others), generator=draw)[: among - 1]]
        right += int(own > float(cosines[row, drawn].max()))
    return right / len(titles) if titles else math.nan
