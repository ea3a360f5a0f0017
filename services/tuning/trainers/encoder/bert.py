"""A base model's BERT: its body, a head over it, what of both is learned, how it is saved."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import torch
from transformers import BertConfig, BertModel, BertPreTrainedModel

from bestiary.errors import InvalidRequest
from bestiary.garden import InstalledModel
from bestiary.schemas.tuning import Hyperparameters
from services.tuning.trainers.low_rank import adapted
from services.tuning.trainers.model_folder import LENGTH_FILE, TOKENIZER_FILES, take_over
from services.tuning.trainers.tuner import Assignment

MODEL_TYPE = "bert"
HEAD = "classifier"  # as transformers calls it, of texts and of tokens alike

Classifier = TypeVar("Classifier", bound=BertPreTrainedModel)


def body_of(base: InstalledModel, *, pooler: bool) -> BertModel:
    """In float32. A pooler that is asked for, and that the base lacks, is drawn at random.

    Raises InvalidRequest for an encoder that is not BERT: replicas serve no other.
    """
    config = config_of(base)
    body = BertModel.from_pretrained(
        base.path, config=config, dtype=torch.float32, add_pooling_layer=pooler
    )
    body.set_attn_implementation("eager")  # in training on a CPU faster than sdpa
    return body


def classifier_of(
    kind: type[Classifier], base: InstalledModel, data: Sequence[str], seed: int
) -> Classifier:
    """The base under a head for the labels in `data`; its config names them.

    The base's own head is kept where it is of the same kind and labels; a new one is drawn, a
    function of the seed alone.
    """
    config = config_of(base)
    kept = config.architectures == [kind.__name__] and set(_labels_of(config)) == set(data)
    labels = _labels_of(config) if kept else sorted(set(data))
    if len(labels) < 2:
        raise InvalidRequest(
            f"all examples have the label {labels[0]!r}; a classifier needs two", "training_file"
        )
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: place for place, label in enumerate(labels)}
    config.num_labels = len(labels)
    config.problem_type = None  # each text has one label
    torch.manual_seed(seed)
    if kept:
        model: Classifier = kind.from_pretrained(base.path, config=config, dtype=torch.float32)
    else:
        model = kind(config)
        body = body_of(base, pooler=model.bert.pooler is not None)
        model.bert.load_state_dict(body.state_dict())
    model.set_attn_implementation("eager")
    return model


def labels_of(model: BertPreTrainedModel) -> tuple[str, ...]:
    return tuple(_labels_of(model.config))


def config_of(base: InstalledModel) -> BertConfig:
    """Raises InvalidRequest for another type of encoder."""
    read = json.loads((base.path / "config.json").read_text("utf-8"))
    if read.get("model_type") != MODEL_TYPE:
        raise InvalidRequest(
            f"{base.card.id} is a {read.get('model_type')}; encoders that can be tuned are of "
            f"type {MODEL_TYPE}",
            "model",
        )
    return BertConfig(**read)


def limit_of(work: Assignment) -> int:
    """Tokens of a text, special ones included: no more than replicas read."""
    path = work.model.path / LENGTH_FILE
    own = json.loads(path.read_text("utf-8")).get("max_seq_length") if path.is_file() else None
    limits = [work.plan.max_tokens, work.model.card.context_length]
    return min([*limits, own] if isinstance(own, int) else limits)


def learning(
    model: BertPreTrainedModel,
    chosen: Hyperparameters,
    *,
    heads: Sequence[str] = (),
    unused: Sequence[str] = (),
) -> BertPreTrainedModel:
    """With `full` all weights but the `unused` ones; else low-rank changes, and the heads."""
    if not chosen.full:
        return adapted(model, chosen.lora, heads=heads, left_out=unused)
    for name in unused:
        model.get_submodule(name).requires_grad_(False)
    return model


def save_model(model: BertPreTrainedModel, base: InstalledModel, folder: Path) -> None:
    """Weights, config and tokenizer, as transformers lays them out."""
    model.save_pretrained(folder)
    take_over(base.path, folder, (*TOKENIZER_FILES, LENGTH_FILE))


def _labels_of(config: BertConfig) -> list[str]:
    return [config.id2label[place] for place in sorted(config.id2label)]
