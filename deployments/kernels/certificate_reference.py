"""What torch says about a text, in float32: the logits that builds are compared with.

Computed by a process of its own (this module's `__main__`, see `torch_process.py`). Kept in
the build cache by revision: the builds of one model share it.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bestiary.errors import KernelError
from bestiary.garden import InstalledModel
from deployments.kernels.build_cache import BuildCache, BuildKey
from deployments.kernels.certificate_text import MOST_TOKENS, SHA256, TEXT
from deployments.kernels.torch_process import require_memory, run_torch, torch_main

VERSION = 1
IDS_FILE, LOGITS_FILE = "ids.npy", "logits.npy"


class Reference(NamedTuple):
    ids: NDArray[np.int64]  # [tokens]
    logits: NDArray[np.float32]  # [tokens, vocabulary]; mapped from the disk


def reference_of(model: InstalledModel, cache: BuildCache) -> Reference:
    """Computed where it is not kept yet. Raises KernelError that says why it cannot be."""
    key = BuildKey(
        kind="torch-reference",
        builder_version=VERSION,
        revision=model.revision,
        precision="fp32",
        options=(("text", SHA256),),
    )
    folder = cache.get_or_build(key, lambda target: _compute(model, target))
    return Reference(np.load(folder / IDS_FILE), np.load(folder / LOGITS_FILE, mmap_mode="r"))


def _compute(model: InstalledModel, target: Path) -> None:
    require_memory(model)
    np.save(target / IDS_FILE, _token_ids(model))
    run_torch(__name__, model.path, target)


def _token_ids(model: InstalledModel) -> NDArray[np.int64]:
    from tokenizers import Tokenizer

    path = model.path / "tokenizer.json"
    if not path.is_file():
        raise KernelError("it has no tokenizer.json")
    ids = Tokenizer.from_file(str(path)).encode(TEXT).ids
    return np.array(ids[: min(MOST_TOKENS, model.card.context_length)], np.int64)


def _run_torch(folder: str, target: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    ids = np.load(Path(target) / IDS_FILE)
    loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        logits = loaded(torch.from_numpy(ids)[None]).logits[0].float().numpy()
    np.save(Path(target) / LOGITS_FILE, logits)


if __name__ == "__main__":
    torch_main(_run_torch)
