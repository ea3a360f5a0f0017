"""The lines of a text file, one at a time: however big the file is, one line is in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bestiary.schemas.tuning import Problem

MAX_LINE = 16 * 1024**2  # bytes
BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True, slots=True)
class Line:
    number: int  # from 1
    text: str  # without its end


def lines_of(path: Path) -> Iterator[Line | Problem]:
    """Blank lines included. A line that is too long or not UTF-8 is a problem."""
    number = 0
    with path.open("rb") as file:
        while data := file.readline(MAX_LINE + 1):
            number += 1
            if len(data) > MAX_LINE:
                yield Problem(line=number, reason=f"the line is longer than {MAX_LINE} bytes")
                while data and not data.endswith(b"\n"):
                    data = file.readline(MAX_LINE)
                continue
            yield _line(number, data)


def _line(number: int, data: bytes) -> Line | Problem:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = data[error.start]
        return Problem(
            line=number,
            reason=f"byte {error.start + 1} of the line (0x{byte:02x}) is not UTF-8: "
            "save the file as UTF-8",
        )
    if number == 1:
        text = text.removeprefix(BYTE_ORDER_MARK)
    return Line(number, text.rstrip("\r\n"))
