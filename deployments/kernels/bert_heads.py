"""What is on top of BERT's body, class by class, and what each class must bring.

Every class gives hidden states and pooled vectors. A checkpoint whose config says
BertForMaskedLM may hold more than that, as bert-base-uncased does: what is there is written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from bestiary.errors import KernelError
from deployments.kernels import encoder_names as names
from deployments.kernels.bert import BertWeights, norm_of
from deployments.kernels.checkpoint import Checkpoint
from deployments.kernels.encoder_names import Output
from deployments.kernels.encoder_outputs import Dense, EncoderOutputs, WordHead

Facts = dict[str, str]

WORD_HEAD, NEXT_HEAD, CLASSIFIER = "cls.predictions", "cls.seq_relationship", "classifier"
REQUIRED: Mapping[str, tuple[str, ...]] = {  # by transformers class name
    "BertModel": (),
    "BertForMaskedLM": (f"{WORD_HEAD}.bias",),
    "BertForNextSentencePrediction": (f"{NEXT_HEAD}.weight",),
    "BertForPreTraining": (f"{WORD_HEAD}.bias", f"{NEXT_HEAD}.weight"),
    "BertForSequenceClassification": (f"{CLASSIFIER}.weight",),
    "BertForTokenClassification": (f"{CLASSIFIER}.weight",),
}


def write_heads(checkpoint: Checkpoint, outputs: EncoderOutputs) -> Facts:
    """What a session has to know of the heads. Raises KernelError where one is missing."""
    name = checkpoint.config.architecture
    _require(checkpoint, name)
    weights = BertWeights(checkpoint)
    outputs.hidden()
    outputs.mean()
    first = outputs.first()
    pooled = outputs.pooler(first, weights.dense("pooler.dense")) if _pools(weights) else None
    if f"{WORD_HEAD}.bias" in checkpoint:
        outputs.words(_word_head(checkpoint, weights))
    if f"{NEXT_HEAD}.weight" in checkpoint:
        outputs.logits_of_texts(_pooled(pooled, name), _dense(checkpoint, NEXT_HEAD), Output.NEXT)
    if name == "BertForSequenceClassification":
        classifier = _dense(checkpoint, CLASSIFIER)
        outputs.logits_of_texts(_pooled(pooled, name), classifier, Output.CLASSES)
        several = checkpoint.config.text("problem_type", "") == "multi_label_classification"
        labels = _labels(checkpoint, classifier)
        return {names.CLASS_LABELS: labels, names.SEVERAL_LABELS: str(int(several))}
    if name == "BertForTokenClassification":
        classifier = _dense(checkpoint, CLASSIFIER)
        outputs.logits_of_tokens(classifier)
        return {names.TOKEN_LABELS: _labels(checkpoint, classifier)}
    return {}


def _require(checkpoint: Checkpoint, name: str) -> None:
    missing = [tensor for tensor in REQUIRED[name] if tensor not in checkpoint]
    if missing:
        raise KernelError(f"{checkpoint.folder} is a {name} without {', '.join(missing)}")


def _pools(weights: BertWeights) -> bool:
    return "pooler.dense.weight" in weights


def _pooled(pooled: str | None, name: str) -> str:
    if pooled is None:
        raise KernelError(f"a {name} without BERT's pooler")
    return pooled


def _word_head(checkpoint: Checkpoint, weights: BertWeights) -> WordHead:
    # Tied tables are often saved once, and where they are saved twice the second is ignored.
    tied = checkpoint.config.flag("tie_word_embeddings", True)
    decoder = f"{WORD_HEAD}.decoder"
    bias = WORD_HEAD if tied or f"{decoder}.bias" not in checkpoint else decoder
    return WordHead(
        transform=_dense(checkpoint, f"{WORD_HEAD}.transform.dense"),
        norm=norm_of(checkpoint, f"{WORD_HEAD}.transform.LayerNorm"),
        table=None if tied else checkpoint.tensor(f"{decoder}.weight"),
        words=weights.words(),
        bias=checkpoint.tensor(f"{bias}.bias"),
        epsilon=weights.epsilon,
    )


def _dense(checkpoint: Checkpoint, name: str) -> Dense:
    return checkpoint.tensor(f"{name}.weight"), checkpoint.tensor(f"{name}.bias")


def _labels(checkpoint: Checkpoint, classifier: Dense) -> str:
    """The config's names of labels as a JSON list; those it does not name are `LABEL_0` ..."""
    named = checkpoint.config.section("id2label")
    count = len(classifier[1])
    default = [f"LABEL_{index}" for index in range(count)]
    if named is None:
        return json.dumps(default)
    return json.dumps([named.text(str(index), default[index]) for index in range(count)])
