"""A request body -> a validated wire model. Every fault is an InvalidRequest that names the field.

Knows JSON and pydantic, no dialect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Mapping
from typing import TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import ClientDisconnect, Request

from bestiary.errors import InvalidRequest, UnsupportedParameter
from services.gateway.exchange import exchange_of
from services.gateway.hang_up import ClientGone

BODY_DEADLINE_S = 60.0

Wire = TypeVar("Wire", bound=BaseModel)
Made = TypeVar("Made")
JsonObject = dict[str, object]


async def read_object(request: Request) -> JsonObject:
    """The body as a JSON object."""
    body = await _body(request)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the request body is not valid JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidRequest("the request body must be a JSON object")
    return document


def validate(model: type[Wire], document: JsonObject, *, strict: bool) -> Wire:
    """`strict` refuses what would have to be converted: "1" for 1."""
    try:
        return model.model_validate(document, strict=strict)
    except ValidationError as error:
        raise _refusal(error) from error


def validate_as_json(model: type[Wire], document: JsonObject) -> Wire:
    """As `validate`, strictly, where the model has enums or tuples: JSON has words and lists."""
    try:
        return model.model_validate_json(orjson.dumps(document), strict=True)
    except ValidationError as error:
        raise _refusal(error) from error


def made(make: Callable[[], Made], public_names: Mapping[str, str] | None = None) -> Made:
    """An internal request, built from wire values: its bounds speak of the caller's fields.

    `public_names` maps our field names to the caller's, where they differ.
    """
    try:
        return make()
    except ValidationError as error:
        raise _refusal(error, public_names or {}) from error


def refuse_unsupported(
    document: JsonObject, neutral_values: Mapping[str, Container[object]], where: str = ""
) -> None:
    """Takes known but unsupported fields out, where they ask for nothing; else refuses.

    `neutral_values` are those that ask for nothing, besides null, per field.
    """
    for name in neutral_values.keys() & document.keys():
        value = document.pop(name)
        if value is not None and not _within(value, neutral_values[name]):
            raise UnsupportedParameter(
                f"`{where}{name}` is not supported here yet: leave it out", f"{where}{name}"
            )


def _within(value: object, values: Container[object]) -> bool:
    # 0 == False in Python, not for a caller who sends `logprobs: 0`.
    return value in values and not (type(value) is int and False in values)


async def _body(request: Request) -> bytes:
    seconds = min(BODY_DEADLINE_S, exchange_of(request).remaining_s())
    try:
        async with asyncio.timeout(seconds):
            return await request.body()
    except TimeoutError as error:
        raise InvalidRequest(f"the request body did not arrive within {seconds:.0f} s") from error
    except ClientDisconnect as error:
        raise ClientGone from error


def _refusal(
    error: ValidationError, public_names: Mapping[str, str] | None = None
) -> InvalidRequest:
    fault = error.errors(include_url=False, include_context=False)[0]
    param = _param(fault, public_names or {})
    if fault["type"] == "extra_forbidden":
        return InvalidRequest(f"Unrecognized request argument supplied: {param}", param)
    if fault["type"] == "missing":
        return InvalidRequest(f"Missing required parameter: '{param}'.", param)
    message = fault["msg"].removeprefix("Value error, ")
    where = f"Invalid value for '{param}': " if param else ""
    return InvalidRequest(f"{where}{message}", param)


def _param(fault: ErrorDetails, public_names: Mapping[str, str]) -> str | None:
    """`messages[0].content`, as OpenAI writes it."""
    path = ""
    for part in fault["loc"]:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            name = public_names.get(part, part)
            path += f".{name}" if path else name
    return path or None
