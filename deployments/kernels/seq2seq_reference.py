"""What torch says about a few passages, in float32: the logits that builds are compared with.

torch writes on from each passage, greedily; builds are then asked for the same tokens one by
one. Computed by a process of its own (this module's `__main__`, see `torch_process.py`) and
kept in the build cache by revision: the builds of one model share it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bestiary.errors import KernelError
from bestiary.garden import InstalledModel
from deployments.kernels.build_cache import BuildCache, BuildKey
from deployments.kernels.certificate_text import SHA256, TEXT
from deployments.kernels.checkpoint import read_config
from deployments.kernels.torch_process import require_memory, run_torch, torch_main

VERSION = 1
OWN_CLASS = "RecurrentSeq2Seq"  # which transformers does not have
FILE = "reference.npz"
PASSAGES = 8
MOST_SOURCE = 64  # tokens of one
TARGET = 24  # tokens that torch writes to each

Ids = NDArray[np.int64]


class Seq2SeqReference(NamedTuple):
    sources: tuple[tuple[int, ...], ...]
    inputs: NDArray[np.int64]  # [passages, TARGET], the decoder's, its start token first
    targets: NDArray[np.int64]  # [passages, TARGET], what torch wrote: the same, one further
    logits: NDArray[np.float32]  # [passages, TARGET, vocabulary]


def seq2seq_reference_of(model: InstalledModel, cache: BuildCache) -> Seq2SeqReference:
    """Computed where it is not kept yet. Raises KernelError that says why it cannot be."""
    key = BuildKey(
        kind="torch-seq2seq-reference",
        builder_version=VERSION,
        revision=model.revision,
        precision="fp32",
        options=(("text", SHA256),),
    )
    folder = cache.get_or_build(key, lambda target: _compute(model, target))
    with np.load(folder / FILE) as kept:
        lengths = kept["lengths"].tolist()
        rows = zip(kept["sources"].tolist(), lengths, strict=True)
        sources = tuple(tuple(row[:length]) for row, length in rows)
        return Seq2SeqReference(sources, kept["inputs"], kept["targets"], kept["logits"])


def passages(folder: Path) -> list[list[int]]:
    """Token ids of the certificate text's sentences, without an end token.

    Raises KernelError where the model has no tokenizer.json.
    """
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    if not path.is_file():
        raise KernelError("it has no tokenizer.json")
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    sentences = TEXT.replace("\n", " ").split(". ")[:PASSAGES]
    return [tokenizer.encode(one, add_special_tokens=False).ids[:MOST_SOURCE] for one in sentences]


def _compute(model: InstalledModel, target: Path) -> None:
    require_memory(model)
    run_torch(__name__, model.path, target)


class Written(NamedTuple):
    """What torch wrote, and its logits for every token of it."""

    tokens: NDArray[np.int64]  # [passages, 1 + TARGET], the start token first
    logits: NDArray[np.float32]  # [passages, TARGET, vocabulary]


def _run_torch(folder: str, target: str) -> None:
    config = read_config(Path(folder))
    own = config.get("architectures") == [OWN_CLASS]
    end = _end_of(Path(folder))
    sources = [[*ids, end] for ids in passages(Path(folder))]
    lengths = np.array([len(ids) for ids in sources])
    padded = np.zeros((len(sources), lengths.max()), np.int64)
    for row, ids in zip(padded, sources, strict=True):
        row[: len(ids)] = ids
    written = (_by_our_own if own else _by_transformers)(folder, padded, lengths)
    np.savez(
        Path(target) / FILE,
        sources=padded,
        lengths=lengths,
        inputs=written.tokens[:, :-1],
        targets=written.tokens[:, 1:],
        logits=written.logits,
    )


def _end_of(folder: Path) -> int:
    """The first one, where there are several."""
    path = folder / "generation_config.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else read_config(folder)
    ends: Any = known["eos_token_id"]
    return int(ends[0] if isinstance(ends, list) else ends)


def _by_transformers(folder: str, sources: Ids, lengths: Ids) -> Written:
    import torch
    from transformers import AutoModelForSeq2SeqLM

    loaded = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32).eval()
    mask = (np.arange(sources.shape[1]) < lengths[:, None]).astype(np.int64)
    given = {"input_ids": torch.from_numpy(sources), "attention_mask": torch.from_numpy(mask)}
    length = {"min_new_tokens": TARGET, "max_new_tokens": TARGET}
    with torch.inference_mode():
        written = loaded.generate(**given, do_sample=False, num_beams=1, **length)
        logits = loaded(**given, decoder_input_ids=written[:, :-1]).logits.float().numpy()
    return Written(written.numpy(), logits)


def _by_our_own(folder: str, sources: Ids, lengths: Ids) -> Written:
    from deployments.kernels.recurrent_reference import RecurrentReference

    model = RecurrentReference(Path(folder))
    return Written(*model.written(sources, lengths, TARGET))


if __name__ == "__main__":
    torch_main(_run_torch)
