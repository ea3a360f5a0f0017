"""Hidden states -> one vector a text, as the base's own files say; unit length."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path

from torch import Tensor, nn

from bestiary.errors import InvalidRequest
from services.tuning.trainers.model_folder import POOLING_FILE


class Pooling(StrEnum):
    MEAN = "pooling_mode_mean_tokens"  # of the text's own tokens, special ones too
    FIRST = "pooling_mode_cls_token"


def pooling_of(folder: Path) -> Pooling:
    """Of sentence-transformers' file; where there is none, the mean, as replicas take it.

    Raises InvalidRequest for another one, which no replica serves.
    """
    path = folder / POOLING_FILE
    if not path.is_file():
        return Pooling.MEAN
    asked = json.loads(path.read_text("utf-8"))
    modes = [key for key, on in asked.items() if key.startswith("pooling_mode") and on is True]
    if len(modes) != 1 or modes[0] not in set(Pooling):
        raise InvalidRequest(f"the base pools by {', '.join(modes)}, which is not served", "model")
    return Pooling(modes[0])


def pooled(hidden: Tensor, attention_mask: Tensor, pooling: Pooling) -> Tensor:
    """[B, T, width] -> [B, width] in float32."""
    states = hidden.float()
    if pooling is Pooling.FIRST:
        return nn.functional.normalize(states[:, 0], dim=-1)
    inside = attention_mask[..., None].to(states.dtype)
    # Scaling to unit length makes up for the division.
    return nn.functional.normalize((states * inside).sum(1), dim=-1)
