"""Method -> what opens its tuner. The rooms are imported when they are needed: each is slow to."""

from __future__ import annotations

import importlib

from bestiary.garden.card import Family
from bestiary.schemas.tuning import Method
from services.tuning.trainers.tuner import OpenTuner

ROOMS = {
    Family.TEXT: "services.tuning.trainers.text.opening",
    Family.ENCODER: "services.tuning.trainers.encoder.opening",
    Family.SEQ2SEQ: "services.tuning.trainers.seq2seq.opening",
    Family.IMAGE: "services.tuning.trainers.image.opening",
}


def opener_of(method: Method) -> OpenTuner:
    """Each room's `opening.py` has TUNERS, a mapping of its methods."""
    tuners: dict[Method, OpenTuner] = importlib.import_module(ROOMS[method.family]).TUNERS
    return tuners[method]
