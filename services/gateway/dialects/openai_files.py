"""OpenAI's files API under /v1/files: uploads go to the disk as they come, downloads leave it so.

A training file is checked before the upload is answered. `openai_files_wire.py` has the shapes.
Knows neither where files are kept nor who may call.
"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from starlette.responses import FileResponse

from bestiary.errors import InvalidRequest
from bestiary.state.files import FilePurpose, StoredFile
from bestiary.state.pages import Page
from services.gateway.answering import json_answer
from services.gateway.blocking import Threads
from services.gateway.dialects import openai_files_wire as wire
from services.gateway.dialects.openai_pages import after_of, limit_of, page_json
from services.gateway.reading import refuse_unsupported, validate
from services.gateway.reading_uploads import Sink, read_upload
from services.tuning.service import TuningService

FILES = "/v1/files"
_FORM = {
    "type": "object",
    "required": ["purpose", "file"],
    "properties": {
        "purpose": {"type": "string", "example": "fine-tune"},
        "file": {"type": "string", "format": "binary"},
    },
}


def openai_file_routes(tuning: TuningService, quick: Threads, slow: Threads) -> APIRouter:
    """POST, GET files; GET, DELETE files/{id}; GET files/{id}/content."""
    routes = APIRouter(prefix=FILES, tags=["OpenAI files"])
    _add_reading(routes, tuning, quick)

    @routes.post(
        "",
        openapi_extra={"requestBody": {"content": {"multipart/form-data": {"schema": _FORM}}}},
    )
    async def upload_file(request: Request) -> Response:
        """Keeps a file. One for fine-tuning is checked: 400 tells the lines that cannot be
        trained on, and nothing is kept."""
        stored = await _received(request, tuning, quick)
        return json_answer(wire.file_json(await slow.run(request, lambda: tuning.check(stored))))

    @routes.delete("/{file_id}")
    async def delete_file(request: Request, file_id: str) -> Response:
        """Gone for good; 409 while a job needs it."""
        await quick.run(request, lambda: tuning.files.delete(file_id))
        return json_answer({"id": file_id, "object": "file", "deleted": True})

    return routes


def _add_reading(routes: APIRouter, tuning: TuningService, quick: Threads) -> None:
    @routes.get("")
    async def list_files(request: Request) -> Response:
        """Newest first; `purpose`, `order`, `after` and `limit` in the query."""
        purpose, newest_first = _purpose(request), _newest_first(request)
        limit = limit_of(request, wire.MAX_FILES_OF_A_PAGE, wire.MAX_FILES_OF_A_PAGE)

        def page() -> Page[StoredFile]:
            return tuning.files.list(
                purpose=purpose, after=after_of(request), limit=limit, newest_first=newest_first
            )

        found = await quick.run(request, page)
        return json_answer(page_json(found.data, found.has_more, wire.file_json))

    @routes.get("/{file_id}")
    async def retrieve_file(request: Request, file_id: str) -> Response:
        """What is known of a file; `bestiary` tells what is in a training file."""
        return json_answer(
            wire.file_json(await quick.run(request, lambda: tuning.files.get(file_id)))
        )

    @routes.get("/{file_id}/content")
    async def file_content(request: Request, file_id: str) -> Response:
        """The bytes as they came."""
        stored = await quick.run(request, lambda: tuning.files.get(file_id))
        path = await quick.run(request, lambda: tuning.files.path(file_id))
        return FileResponse(
            path,
            filename=stored.filename,
            media_type="application/octet-stream",
            # No browser takes an upload of somebody's for a page of ours.
            headers={"x-content-type-options": "nosniff"},
        )


async def _received(request: Request, tuning: TuningService, quick: Threads) -> StoredFile:
    """The upload on the disk. The purpose may come after the bytes, as some SDKs send it."""
    with tuning.upload() as upload:

        def begin(filename: str) -> Sink:
            return upload.begin(wire.plain_name(filename))

        fields = await read_upload(request, "file", begin)
        refuse_unsupported(fields, wire.UNSUPPORTED_FILE)
        body = validate(wire.Upload, fields, strict=True)
        return await quick.run(request, lambda: upload.finish(FilePurpose(body.purpose)))


def _purpose(request: Request) -> FilePurpose | None:
    given = request.query_params.get("purpose")
    if not given:
        return None
    try:
        return FilePurpose(given)
    except ValueError as error:
        known = ", ".join(FilePurpose)
        raise InvalidRequest(f"purpose must be one of {known}", "purpose") from error


def _newest_first(request: Request) -> bool:
    order = request.query_params.get("order", "desc")
    if order not in ("asc", "desc"):
        raise InvalidRequest("order must be asc or desc", "order")
    return order == "desc"
