"""What encoders' builds are compared on: the certificate's text, a sentence at a time.

Masks, where a model has words to guess, stand at the middle token of each sentence; pairs are
neighbours. Cut by each model's own tokenizer.
"""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from bestiary.errors import KernelError
from deployments.kernels.certificate_text import TEXT
from deployments.kernels.encoder_session import EncoderText

LONGEST = 128  # tokens of a sentence: what is behind them is left out
PROBE_FILE = "probe.json"


class Probe(NamedTuple):
    sentences: tuple[EncoderText, ...]
    masked: tuple[EncoderText, ...]  # none where the tokenizer has no mask
    pairs: tuple[EncoderText, ...]


def sentences() -> tuple[str, ...]:
    """Of the certificate's text, in its order."""
    prose = " ".join(TEXT.split())
    return tuple(one for one in re.split(r"(?<=[.?!:]) ", prose) if one)


def probe_of(folder: Path, longest: int) -> Probe:
    """Raises KernelError where the folder has no tokenizer."""
    from tokenizers import Tokenizer  # a replica needs none for its kernels

    path = folder / "tokenizer.json"
    if not path.is_file():
        raise KernelError("it has no tokenizer.json")
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    limit = min(LONGEST, longest)
    tokenizer.enable_truncation(limit)
    texts = sentences()
    singles = tuple(EncoderText(tuple(tokenizer.encode(text).ids)) for text in texts)
    pairs = tuple(
        EncoderText(tuple(one.ids), tuple(one.type_ids))
        for one in (tokenizer.encode(*pair) for pair in pairwise(texts))
    )
    mask = tokenizer.token_to_id("[MASK]")
    masked = () if mask is None else tuple(_masked(one, mask) for one in singles)
    return Probe(singles, masked, pairs)


def write_probe(folder: Path, probe: Probe) -> None:
    # Named tuples of numbers are JSON lists as they are.
    (folder / PROBE_FILE).write_text(json.dumps(probe._asdict()), encoding="utf-8")


def read_probe(folder: Path) -> Probe:
    """As `write_probe` wrote it."""
    parts = json.loads((folder / PROBE_FILE).read_text(encoding="utf-8"))
    return Probe(*(tuple(EncoderText(*text) for text in parts[name]) for name in Probe._fields))


def _masked(text: EncoderText, mask: int) -> EncoderText:
    middle = len(text.ids) // 2
    ids = (*text.ids[:middle], mask, *text.ids[middle + 1 :])
    return text._replace(ids=ids, asked=middle)
