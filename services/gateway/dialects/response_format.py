"""`response_format`: what an answer has to match, as callers write it.

OpenAI's (https://platform.openai.com/docs/guides/structured-outputs) and Hugging Face's,
which has a schema in `value`; `regex` and `grammar` are extensions of ours. Whether a
schema, regex or grammar is any good is found where it is compiled, beside the model.
"""

from __future__ import annotations

from typing import Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, model_validator

from bestiary.schemas.text import Constraint, ConstraintKind
from services.gateway.dialects.json_schema import SchemaDocument

_ANY_OBJECT: dict[str, object] = {"type": "object"}


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class JsonSchema(_Wire):
    name: str = Field(min_length=1, max_length=64)
    description: str | None = None
    schema_: SchemaDocument = Field(alias="schema")
    strict: bool | None = None


class ResponseFormat(_Wire):
    """Each type has a field of its own."""

    type: Literal["text", "json_object", "json_schema", "regex", "grammar"]
    json_schema: JsonSchema | None = None
    value: SchemaDocument | None = Field(
        None, description="Hugging Face's: the schema of a `json_object`"
    )
    regex: str | None = Field(
        None, description="extension: Rust's syntax, https://docs.rs/regex/latest/regex/#syntax"
    )
    grammar: str | None = Field(None, description="extension: llguidance's Lark")

    @model_validator(mode="after")
    def _own_field(self) -> ResponseFormat:
        own = {"json_object": "value"}.get(self.type, self.type)
        for name in ("json_schema", "value", "regex", "grammar"):
            if name != own and getattr(self, name) is not None:
                raise ValueError(f"{name!r} does not go with type {self.type!r}")
        if self.type in ("json_schema", "regex", "grammar") and not getattr(self, self.type):
            raise ValueError(f"type {self.type!r} needs the field {self.type!r}")
        return self

    def constraint(self) -> Constraint | None:
        """None where any text will do."""
        if self.regex is not None:
            return Constraint(kind=ConstraintKind.REGEX, source=self.regex)
        if self.grammar is not None:
            return Constraint(kind=ConstraintKind.GRAMMAR, source=self.grammar)
        if self.json_schema is not None:
            return _of_schema(self.json_schema.schema_, bool(self.json_schema.strict))
        if self.type == "json_object":
            return _of_schema(_ANY_OBJECT if self.value is None else self.value, strict=False)
        return None


def _of_schema(schema: dict[str, object], strict: bool) -> Constraint:
    source = orjson.dumps(schema).decode()
    return Constraint(kind=ConstraintKind.JSON_SCHEMA, source=source, strict=strict)
