"""Method -> what opens its tuner, of the encoder family."""

from __future__ import annotations

from collections.abc import Mapping

from bestiary.schemas.tuning import Method
from services.tuning.trainers.encoder.classification import open_classification
from services.tuning.trainers.encoder.embedding import open_embedding
from services.tuning.trainers.encoder.token_classification import open_token_classification
from services.tuning.trainers.tuner import OpenTuner

TUNERS: Mapping[Method, OpenTuner] = {
    Method.CLASSIFICATION: open_classification,
    Method.TOKEN_CLASSIFICATION: open_token_classification,
    Method.EMBEDDING: open_embedding,
}
