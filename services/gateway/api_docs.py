"""The request bodies for /docs. Routes read their bodies themselves, so FastAPI cannot see them."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

_REFERENCE = "#/components/schemas/{model}"


def takes(model: type[BaseModel]) -> dict[str, Any]:
    """`openapi_extra` of a route whose body is `model`."""
    reference = {"$ref": _REFERENCE.format(model=model.__name__)}
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": reference}}}
    }


def takes_forms(model: type[BaseModel]) -> dict[str, Any]:
    """As `takes`; a form with files has the same fields."""
    extra = takes(model)
    content = extra["requestBody"]["content"]
    content["multipart/form-data"] = content["application/json"]
    return extra


def describe_bodies(app: FastAPI, models: tuple[type[BaseModel], ...]) -> None:
    """Puts the models that `takes` refers to into the application's OpenAPI document."""
    _, definitions = models_json_schema(
        [(model, "validation") for model in models], ref_template=_REFERENCE
    )
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas.update(definitions.get("$defs", {}))
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend it
