"""Pictures and latents that callers give -> base64 of the wire. Reads files, knows no Pillow."""

from __future__ import annotations

import base64
import io
import os
import sys
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Protocol

from bestiary_client._image_results import Latent, Picture
from bestiary_client._json import JsonObject


class Savable(Protocol):
    """`PIL.Image.Image`, as far as it is used."""

    def save(self, fp: IO[bytes], format: str) -> None: ...


# Bytes of a PNG, JPEG or WebP file, the path of one, an earlier result, or a PIL image.
ImageInput = bytes | str | os.PathLike[str] | Picture | Savable
LatentInput = Latent | Sequence[object]


def image_of(given: ImageInput) -> str:
    """base64. Raises OSError for a path that cannot be read."""
    if isinstance(given, Picture):
        return _packed(given.data)
    if isinstance(given, bytes):
        return _packed(given)
    if isinstance(given, str | os.PathLike):
        return _packed(Path(given).read_bytes())
    held = io.BytesIO()
    given.save(held, format="PNG")
    return _packed(held.getvalue())


def images_of(given: ImageInput | Iterable[ImageInput]) -> list[str]:
    """One alone is a list of one."""
    if isinstance(given, bytes | str | os.PathLike | Picture) or hasattr(given, "save"):
        return [image_of(given)]  # type: ignore[arg-type]  # which the line above has made sure of
    return [image_of(one) for one in given]


def latents_of(given: Iterable[LatentInput]) -> JsonObject:
    """The body's fields: latents of an earlier reply packed, nested lists as they are."""
    found = list(given)
    packed = [one for one in found if isinstance(one, Latent)]
    if len(packed) < len(found):
        return {"latents": [_nested(one) for one in found]}
    if not packed:
        return {"latents": []}
    return {
        "latents": [_packed(_floats(one.values)) for one in packed],
        "shape": list(packed[0].shape),
    }


def _nested(given: LatentInput) -> object:
    """Raises TypeError for a mixture: one shape is told for all."""
    if isinstance(given, Latent):
        raise TypeError("give all latents as nested lists, or all as they came")
    return given.tolist() if hasattr(given, "tolist") else given


def _floats(values: Iterable[float]) -> bytes:
    floats = array("f", values)
    if sys.byteorder == "big":
        floats.byteswap()
    return floats.tobytes()


def _packed(data: bytes) -> str:
    return base64.b64encode(data).decode()
