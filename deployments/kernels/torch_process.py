"""torch in a process of its own, to compute a reference: nobody else ever imports it.

So its memory is given back, and a model that is too large takes only that process with it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil

from bestiary.errors import KernelError
from bestiary.garden import InstalledModel

DEADLINE_S = 900.0  # a few billion parameters on two cores
HEADROOM = 1.3  # of the weights in float32: activations, and what torch holds while it loads
FLOAT32 = 4  # bytes
GIB = 2**30


def require_memory(model: InstalledModel) -> None:
    """Raises KernelError where torch would not fit."""
    needed = model.card.parameters * FLOAT32 * HEADROOM
    available = psutil.virtual_memory().available
    if needed > available:
        raise KernelError(
            f"torch would need {needed / GIB:.1f} GiB in float32, "
            f"and {available / GIB:.1f} GiB are free"
        )


def run_torch(module: str, model: Path, target: Path, *more: str) -> None:
    """`python -m module model target more...`, offline and on the CPU.

    Raises KernelError with the last line of what it says.
    """
    offline = {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", module, str(model), str(target), *more],
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


def torch_main(compute: Callable[..., None]) -> None:
    """The `__main__` of such a module: the last line of its error is the reason."""
    try:
        compute(*sys.argv[1:])
    except Exception as error:  # noqa: BLE001 - the edge of a process
        sys.exit(f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}")
