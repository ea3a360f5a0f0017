"""Makes the environment that the peers run in: LitServe beside this checkout's torch and diffusers.

python -m benchmarks.images.peers FOLDER
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

LITSERVE = "litserve==0.2.17"


def make(folder: Path) -> Path:
    """Its python."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    site = next(folder.glob("lib/python*/site-packages"))
    # The same torch and diffusers as ours, without a second copy of either.
    (site / "checkout.pth").write_text(sysconfig.get_paths()["purelib"] + "\n", encoding="utf-8")
    subprocess.run([python, "-m", "pip", "install", "-q", LITSERVE], check=True)
    return python


if __name__ == "__main__":
    print(make(Path(sys.argv[1])))
