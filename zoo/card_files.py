"""The sha256 of an exported model's files, into its card: what is served is what was exported.

python -m zoo.card_files MODEL...
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import bestiary.garden
from bestiary.garden.checksum import sha256_of
from bestiary.garden.delta import DELTA, WEIGHTS

CARDS = Path(bestiary.garden.__file__).parent / "cards"
ZOO = Path(__file__).parent
SERVED = (
    "conditioning.json",
    "config.json",
    DELTA,
    "diffusion_pytorch_model.safetensors",
    "discriminator.safetensors",
    "generation_config.json",
    "generator.safetensors",
    "latent_prior.safetensors",
    WEIGHTS,
    "model_index.json",
    "preprocessor_config.json",
    "scheduler/scheduler_config.json",
    "scorer/config.json",
    "scorer/model.safetensors",
    "super_resolution.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
)
_FILES = re.compile(r"^ {4}files:.*\n", re.MULTILINE)


def pin_files(model: str, folder: Path) -> None:
    """Writes the end of the card of that id anew; it ends with its files. Without a card,
    nothing."""
    card = CARDS / f"{model}.yaml"
    if not card.exists():
        return
    parts = _FILES.split(card.read_text("utf-8"), maxsplit=1)
    if len(parts) != 2:
        raise ValueError(f"{card} has to end with the files of its zoo source")
    lines = [f"      {name}: {digest}\n" for name, digest in served_files(folder).items()]
    card.write_text(f"{parts[0]}    files:\n{''.join(lines)}", "utf-8")


def served_files(folder: Path) -> dict[str, str]:
    """Name -> sha256, of those that a replica needs."""
    return {name: sha256_of(folder / name) for name in SERVED if (folder / name).is_file()}


if __name__ == "__main__":
    for named in sys.argv[1:]:
        pin_files(named, ZOO / named)
