"""A request body that may be a JSON object or a form with files -> its fields.

Files become their bytes, whatever they are called. Knows no dialect.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from bestiary.errors import InvalidRequest
from bestiary.schemas.image import MAX_IMAGES
from services.gateway.exchange import exchange_of
from services.gateway.hang_up import ClientGone
from services.gateway.reading import BODY_DEADLINE_S, JsonObject, read_object

FORM = "multipart/form-data"
MAX_FIELDS = 1024
MAX_FIELD_BYTES = 16 * 1024 * 1024  # a picture or a latent may come as base64 too


async def read_fields(request: Request) -> tuple[JsonObject, bool]:
    """The fields, and whether they have types: those of a form are all text.

    What comes more than once, or is called `name[]`, is a list. Raises InvalidRequest.
    """
    if not request.headers.get("content-type", "").lower().startswith(FORM):
        return await read_object(request), True
    seconds = min(BODY_DEADLINE_S, exchange_of(request).remaining_s())
    try:
        async with asyncio.timeout(seconds):
            return await _fields(await _form(request)), False
    except TimeoutError as error:
        raise InvalidRequest(f"the request body did not arrive within {seconds:.0f} s") from error
    except ClientDisconnect as error:
        raise ClientGone from error


async def _form(request: Request) -> FormData:
    async with aclosing(request.stream()) as stream:
        try:
            parser = MultiPartParser(
                request.headers,
                stream,
                max_files=2 * MAX_IMAGES,
                max_fields=MAX_FIELDS,
                max_part_size=MAX_FIELD_BYTES,
            )
            return await parser.parse()
        except MultiPartException as error:
            raise InvalidRequest(f"the request body is no valid {FORM}: {error.message}") from error


async def _fields(form: FormData) -> JsonObject:
    fields: JsonObject = {}
    several: dict[str, list[object]] = {}
    try:
        for given, value in form.multi_items():
            name = given.removesuffix("[]")
            content = await value.read() if isinstance(value, UploadFile) else value
            several.setdefault(name, []).append(content)
            fields[name] = several[name] if _is_list(given, several[name]) else content
    finally:
        await form.close()
    return fields


def _is_list(name: str, values: list[object]) -> bool:
    return name.endswith("[]") or len(values) > 1
