"""How a picture comes in an answer: its bytes as base64, or a URL that opens for a while."""

from __future__ import annotations

import base64
from collections.abc import Callable

from fastapi import Request

from bestiary.errors import UnsupportedParameter
from bestiary.schemas.image import Picture
from services.gateway.image_files import ImageLinks

# A picture -> the field that has it, `b64_json` or `url`. Blocking.
Show = Callable[[Picture], dict[str, str]]


def inline(picture: Picture) -> dict[str, str]:
    return {"b64_json": base64.b64encode(picture.data).decode()}


class Showing:
    """`links` None: this gateway keeps no pictures."""

    def __init__(self, links: ImageLinks | None) -> None:
        self._links = links

    def of(self, request: Request, *, as_urls: bool) -> Show:
        """Raises UnsupportedParameter for URLs where none are made."""
        links = self._links
        if not as_urls:
            return inline
        if links is None:
            raise UnsupportedParameter(
                "this gateway keeps no pictures: ask for b64_json", "response_format"
            )
        root = links.root(request)
        return lambda picture: {"url": links.put(picture, root)}
