"""A form with one file -> its fields, while the file's bytes go on as they come. Knows no dialect.

Of the file never more than `WRITE_BYTES` are in memory, and fields may come before or after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Protocol

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from bestiary.errors import InvalidRequest
from services.gateway.exchange import exchange_of
from services.gateway.hang_up import ClientGone
from services.gateway.reading import JsonObject
from services.gateway.reading_forms import FORM

WRITE_BYTES = 1024 * 1024  # gathered before they are written
MAX_FIELD_BYTES = 64 * 1024
MAX_PARTS = 16
_DISPOSITION = b"content-disposition"


class Sink(Protocol):
    """Where the file goes. Blocking."""

    def write(self, data: bytes) -> None: ...


async def read_upload(request: Request, name: str, open_sink: Callable[[str], Sink]) -> JsonObject:
    """The form's other fields, all text; `name` is the file's field, and it must be there.

    `open_sink` gets the file's own name. Raises InvalidRequest, DeadlineExceeded.
    """
    form = _Form(name, open_sink)
    seconds = exchange_of(request).remaining_s()
    try:
        async with asyncio.timeout(seconds), aclosing(request.stream()) as stream:
            parser = form.parser(_boundary(request))
            async for chunk in stream:
                parser.write(chunk)
                await form.write_on(WRITE_BYTES)
            parser.finalize()
            await form.write_on(1)
    except FormParserError as error:
        raise InvalidRequest(f"the request body is no valid {FORM}: {error}") from error
    except TimeoutError as error:
        raise InvalidRequest(f"the request body did not arrive within {seconds:.0f} s") from error
    except ClientDisconnect as error:
        raise ClientGone from error
    return form.complete()


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary")
    if kind != FORM.encode() or not boundary:
        raise InvalidRequest(f"send the file as {FORM}, with a boundary")
    return boundary


@dataclass
class _Part:
    name: str = ""
    is_file: bool = False
    data: bytearray = field(default_factory=bytearray)  # of a field


class _Form:
    """What the parser found so far. Its callbacks do not block."""

    def __init__(self, name: str, open_sink: Callable[[str], Sink]) -> None:
        self._name = name
        self._open_sink = open_sink
        self._sink: Sink | None = None
        self._unwritten = bytearray()
        self._fields: JsonObject = {}
        self._parts = 0
        self._ended = False
        self._part = _Part()
        self._header = (bytearray(), bytearray())
        self._disposition = b""

    def parser(self, boundary: bytes) -> MultipartParser:
        return MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._header_field,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_part_data": self._data,
                "on_part_end": self._part_end,
                "on_end": self._end,
            },
        )

    async def write_on(self, at_least: int) -> None:
        """Hands the file's bytes on, once there are so many."""
        if self._sink is None or len(self._unwritten) < at_least:
            return
        data, self._unwritten = bytes(self._unwritten), bytearray()
        await asyncio.to_thread(self._sink.write, data)

    def complete(self) -> JsonObject:
        if not self._ended:
            raise InvalidRequest(f"the request body is no valid {FORM}: it ends too early")
        if self._sink is None:
            raise InvalidRequest(f"Missing required parameter: '{self._name}'.", self._name)
        return self._fields

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise InvalidRequest(f"the form has more than {MAX_PARTS} fields")
        self._disposition = b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header[0].extend(data[start:end])

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1].extend(data[start:end])

    def _header_end(self) -> None:
        name, value = self._header
        if bytes(name).lower() == _DISPOSITION:
            self._disposition = bytes(value)
        self._header = (bytearray(), bytearray())

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"name" not in options:
            raise InvalidRequest("every part of the form needs a name")
        self._part = _Part(_text(options[b"name"]), is_file=b"filename" in options)
        if not self._part.is_file:
            return
        if self._part.name != self._name or self._sink is not None:
            raise InvalidRequest(
                f"send one file, in the field '{self._name}'", self._part.name or None
            )
        self._sink = self._open_sink(_text(options[b"filename"]))

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._part.is_file:
            self._unwritten.extend(data[start:end])
            return
        self._part.data.extend(data[start:end])
        if len(self._part.data) > MAX_FIELD_BYTES:
            raise InvalidRequest(f"'{self._part.name}' is too long", self._part.name)

    def _part_end(self) -> None:
        if self._part.is_file:
            return
        if self._part.name == self._name:
            raise InvalidRequest(f"'{self._name}' must be a file, with a filename", self._name)
        self._fields[self._part.name] = _text(bytes(self._part.data))

    def _end(self) -> None:
        self._ended = True


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
