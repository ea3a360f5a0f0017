"""GET /v1/images/files/NAME: pictures behind the URLs that answers have. No key: the name is one.

Also makes those URLs. Knows no dialect.
"""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response

from bestiary.schemas.image import ImageFormat, Picture
from services.gateway.image_store import ImageStore

PATH = "/v1/images/files"
_MEDIA_TYPES = {ImageFormat.PNG: "image/png", ImageFormat.WEBP: "image/webp"}


class ImageLinks:
    """`public_url` is what callers reach this gateway under; None: as each one called it."""

    def __init__(self, store: ImageStore, public_url: str | None) -> None:
        self._store = store
        self._public_url = public_url

    def root(self, request: Request) -> str:
        return (self._public_url or str(request.base_url)).rstrip("/")

    def put(self, picture: Picture, root: str) -> str:
        """Keeps the picture; its URL. Blocking."""
        return f"{root}{PATH}/{self._store.put(picture)}"


def image_file_routes(store: ImageStore) -> APIRouter:
    routes = APIRouter(tags=["Images"])

    @routes.head(f"{PATH}/{{name}}", include_in_schema=False)
    @routes.get(f"{PATH}/{{name}}")
    async def picture(name: str) -> Response:
        """A picture that an answer gave the URL of; 404 once its time is over. Needs no key."""
        stored = await asyncio.to_thread(store.get, name)
        return Response(
            stored.data,
            media_type=_MEDIA_TYPES[stored.format],
            headers={
                "cache-control": f"private, max-age={int(stored.remaining_s)}, immutable",
                "content-disposition": f'inline; filename="{name}"',
                # What is served is a picture to every browser, whatever is in it.
                "x-content-type-options": "nosniff",
                "content-security-policy": "default-src 'none'; sandbox",
                "referrer-policy": "no-referrer",
            },
        )

    return routes
