"""What torch says about the probe's texts, in float32: what encoders' builds are compared with.

Computed by a process of its own (this module's `__main__`, see `torch_process.py`). Kept in
the build cache by revision and heads: the builds of one model share it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bestiary.garden import InstalledModel
from deployments.kernels.build_cache import BuildCache, BuildKey
from deployments.kernels.certificate_text import SHA256
from deployments.kernels.encoder_names import Output
from deployments.kernels.encoder_probe import Probe, probe_of, read_probe, write_probe
from deployments.kernels.encoder_session import EncoderText
from deployments.kernels.torch_process import require_memory, run_torch, torch_main

VERSION = 1
ASKED_FILE, ANSWERS_FILE = "asked.json", "answers.npz"
EMBEDDINGS = "embeddings"  # [sentences, width], of unit length

Floats = NDArray[np.float32]

# The transformers class that has a head.
HEADS: Mapping[Output, str] = {
    Output.WORDS: "BertForMaskedLM",
    Output.NEXT: "BertForNextSentencePrediction",
    Output.CLASSES: "BertForSequenceClassification",
    Output.TOKENS: "BertForTokenClassification",
}


class Reference(NamedTuple):
    probe: Probe
    embeddings: Floats  # [sentences, width], as the model itself pools them
    heads: Mapping[Output, Floats]  # [rows, choices]; a row a sentence, pair or token


def reference_of(
    model: InstalledModel, cache: BuildCache, outputs: frozenset[Output], pooling: Output
) -> Reference:
    """Computed where it is not kept yet. Raises KernelError that says why it cannot be."""
    heads = sorted(outputs & HEADS.keys())
    key = BuildKey(
        kind="torch-encoder-reference",
        builder_version=VERSION,
        revision=model.revision,
        precision="fp32",
        options=(("text", SHA256), ("heads", ",".join(heads)), ("pooling", pooling)),
    )

    def write(target: Path) -> None:
        require_memory(model)
        write_probe(target, probe_of(model.path, model.card.context_length))
        (target / ASKED_FILE).write_text(json.dumps([heads, pooling]), encoding="utf-8")
        run_torch(__name__, model.path, target)

    folder = cache.get_or_build(key, write)
    with np.load(folder / ANSWERS_FILE) as answers:
        found = {output: answers[output] for output in map(Output, heads) if output in answers}
        return Reference(read_probe(folder), answers[EMBEDDINGS], found)


def texts_of(output: Output, probe: Probe) -> tuple[EncoderText, ...]:
    """What a head is asked about."""
    return {Output.WORDS: probe.masked, Output.NEXT: probe.pairs}.get(output, probe.sentences)


def _run_torch(folder: str, target: str) -> None:
    import torch
    import transformers

    probe = read_probe(Path(target))
    heads, pooling = json.loads((Path(target) / ASKED_FILE).read_text(encoding="utf-8"))

    def run(class_name: str, texts: Sequence[EncoderText]) -> Iterator[tuple[EncoderText, Any]]:
        loaded = getattr(transformers, class_name).from_pretrained(folder, dtype=torch.float32)
        for text in texts:
            segments = list(text.segments) or [0] * len(text.ids)
            with torch.inference_mode():
                given = loaded.eval()(
                    input_ids=torch.tensor([list(text.ids)]),
                    token_type_ids=torch.tensor([segments]),
                )
            yield text, given

    embeddings = [_pooled(given, pooling) for _, given in run("BertModel", probe.sentences)]
    answers = {EMBEDDINGS: np.stack(embeddings)}
    for output in map(Output, heads):
        rows = [
            _rows(output, text, given.logits[0].numpy())
            for text, given in run(HEADS[output], texts_of(output, probe))
        ]
        if rows:
            answers[output] = np.concatenate(rows)
    np.savez(Path(target) / ANSWERS_FILE, allow_pickle=False, **answers)


def _pooled(given: Any, pooling: str) -> Floats:
    hidden: Floats = given.last_hidden_state[0].numpy()
    vector = hidden.mean(axis=0) if pooling == Output.MEAN else hidden[0]
    unit: Floats = vector / np.linalg.norm(vector)
    return unit


def _rows(output: Output, text: EncoderText, logits: Floats) -> Floats:
    """[rows, choices]"""
    if output is Output.WORDS:
        return logits[[text.asked]]
    return np.atleast_2d(logits)


if __name__ == "__main__":
    torch_main(_run_torch)
