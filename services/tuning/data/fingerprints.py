"""The same example has the same fingerprint, in every file and every process."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import fields

from pydantic import BaseModel

from services.tuning.data.examples import CaptionedImage, Example

SIZE = 16  # bytes


def fingerprint(example: Example) -> bytes:
    """Of all that is learned from; a picture's file name is not."""
    digest = hashlib.blake2b(digest_size=SIZE)
    digest.update(type(example).__name__.encode())
    for field in fields(example):
        if isinstance(example, CaptionedImage) and field.name == "name":
            continue
        _feed(digest, getattr(example, field.name))
    return digest.digest()


def overlap(training: Iterable[Example], validation: Iterable[Example]) -> int:
    """How many examples of `validation` are in `training` too."""
    known = {fingerprint(example) for example in training}
    return sum(fingerprint(example) in known for example in validation)


def _feed(digest: hashlib.blake2b, value: object) -> None:
    """Every part with its length, so that no two values look alike."""
    match value:
        case bytes():
            digest.update(b"b%d:" % len(value))
            digest.update(value)
        case tuple():
            digest.update(b"t%d:" % len(value))
            for part in value:
                _feed(digest, part)
        case BaseModel():
            _feed(digest, value.model_dump_json().encode())
        case _:
            text = repr(value) if not isinstance(value, str) else value
            _feed(digest, f"{type(value).__name__}:{text}".encode())
