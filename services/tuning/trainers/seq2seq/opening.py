"""Method -> what opens its tuner, of the seq2seq family."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import nn

from bestiary.schemas.tuning import Method
from services.tuning.trainers.seq2seq.learner import PairLearner
from services.tuning.trainers.seq2seq.network import save_network
from services.tuning.trainers.tuner import Assignment, OpenTuner
from services.tuning.trainers.whole_model import WholeModelTuner


def open_sequence_to_sequence(work: Assignment) -> WholeModelTuner:
    def write(model: nn.Module, folder: Path) -> None:
        save_network(model, work.model, folder)

    return WholeModelTuner(PairLearner(work), write)


TUNERS: Mapping[Method, OpenTuner] = {Method.SEQUENCE_TO_SEQUENCE: open_sequence_to_sequence}
