"""Files for asyncio: `client.files`. Its twin is `_files.py`.

Files on disk are read and written between the waits for the network, a piece at a time.
"""

from __future__ import annotations

from pathlib import Path

from bestiary_client._async_transport import AsyncTransport
from bestiary_client._file_requests import content_call, file_call, list_files_call, upload_call
from bestiary_client._file_results import StoredFile
from bestiary_client._json import JsonObject, parse_object
from bestiary_client._pages import AsyncPages
from bestiary_client._requests import Call
from bestiary_client._saving import saving
from bestiary_client._timeouts import Timeout
from bestiary_client._tuning_replies import stored_file
from bestiary_client._uploads import FileInput, OnProgress, uploading


class AsyncFiles:
    """What the platform keeps: training data, results of jobs."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def upload(
        self,
        file: FileInput,
        *,
        purpose: str = "fine-tune",
        filename: str | None = None,
        on_progress: OnProgress | None = None,
        timeout: float | Timeout | None = None,
    ) -> StoredFile:
        """Sends a file as it is read, and gives what the platform found in it.

        A folder is sent as a zip. Never tried again by itself: it could be stored twice.
        `on_progress` is told of the bytes sent and of how many there are. Raises BadRequest,
        which tells the lines that cannot be trained on; nothing is kept then.
        """
        with uploading(file, {"purpose": purpose}, filename, on_progress) as sent:
            return stored_file(await self._fetch(upload_call(sent, timeout)))

    def list(self, *, purpose: str | None = None) -> AsyncPages[StoredFile]:
        """Newest first."""
        return AsyncPages(list_files_call(purpose), self._fetch, stored_file)

    async def get(self, file: str | StoredFile) -> StoredFile:
        """Raises NotFound."""
        return stored_file(await self._fetch(file_call("GET", file)))

    async def content(self, file: str | StoredFile) -> bytes:
        """As it was uploaded. Raises NotFound."""
        answer = await self._transport.send(content_call(file))
        return answer.content

    async def download(
        self, file: str | StoredFile, path: str | Path, *, on_progress: OnProgress | None = None
    ) -> Path:
        """As `content`, to a file that appears when it is whole. Raises NotFound, OSError."""
        response, budget = await self._transport.open(content_call(file))
        try:
            with saving(Path(path), response, budget, on_progress) as write:
                async for piece in response.aiter_bytes():
                    write(piece)
        finally:
            await response.aclose()
        return Path(path)

    async def delete(self, file: str | StoredFile) -> None:
        """Raises NotFound, and Conflict while a job uses it."""
        await self._fetch(file_call("DELETE", file))

    async def _fetch(self, call: Call) -> JsonObject:
        answer = await self._transport.send(call)
        return parse_object(answer.content)
