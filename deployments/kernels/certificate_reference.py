"""What torch says about a text, in float32: the logits that builds are compared with.

Computed by a process of its own (this module's `__main__`), so that nobody else ever
imports torch, its memory is given back, and a model that is too large takes only that
process with it. Kept in the build cache by revision: the builds of one model share it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
from numpy.typing import NDArray

from bestiary.errors import KernelError
from bestiary.garden import InstalledModel
from deployments.kernels.build_cache import BuildCache, BuildKey
from deployments.kernels.certificate_text import MOST_TOKENS, SHA256, TEXT

VERSION = 1
IDS_FILE, LOGITS_FILE = "ids.npy", "logits.npy"
DEADLINE_S = 900.0  # a few billion parameters on two cores
HEADROOM = 1.3  # of the weights in float32: activations, and what torch holds while it loads
FLOAT32 = 4  # bytes
GIB = 2**30


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
    _require_memory(model)
    np.save(target / IDS_FILE, _token_ids(model))
    command = [sys.executable, "-m", __name__, str(model.path), str(target)]
    offline = {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and module
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
            env=os.environ | offline,
        )
    except subprocess.TimeoutExpired as error:
        raise KernelError(f"torch was not done after {DEADLINE_S:.0f} s") from error
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
        raise KernelError(f"torch cannot run it: {said[-1]}")


def _token_ids(model: InstalledModel) -> NDArray[np.int64]:
    from tokenizers import Tokenizer

    path = model.path / "tokenizer.json"
    if not path.is_file():
        raise KernelError("it has no tokenizer.json")
    ids = Tokenizer.from_file(str(path)).encode(TEXT).ids
    return np.array(ids[: min(MOST_TOKENS, model.card.context_length)], np.int64)


def _require_memory(model: InstalledModel) -> None:
    needed = model.card.parameters * FLOAT32 * HEADROOM
    available = psutil.virtual_memory().available
    if needed > available:
        raise KernelError(
            f"torch would need {needed / GIB:.1f} GiB in float32, "
            f"and {available / GIB:.1f} GiB are free"
        )


def _run_torch(folder: str, target: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    ids = np.load(Path(target) / IDS_FILE)
    loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        logits = loaded(torch.from_numpy(ids)[None]).logits[0].float().numpy()
    np.save(Path(target) / LOGITS_FILE, logits)


def _main(folder: str, target: str) -> None:
    try:
        _run_torch(folder, target)
    except Exception as error:  # noqa: BLE001 - the edge of a process: the last line is the reason
        sys.exit(f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}")


if __name__ == "__main__":
    _main(*sys.argv[1:])
