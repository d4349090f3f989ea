"""The words that the contract is written in: JSON schemas as values, and one operation of a route. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

Schema = Mapping[str, Any]

TEXT: Final[Schema] = {"type": "string"}
WHOLE: Final[Schema] = {"type": "integer"}
FLAG: Final[Schema] = {"type": "boolean"}
ANY: Final[Schema] = {}
OBJECT: Final[Schema] = {"type": "object"}
BINARY: Final[Schema] = {"type": "string", "format": "binary"}

JSON: Final = "application/json"


def listed(items: Schema) -> Schema:
    """An array of them."""
    return {"type": "array", "items": items}


def mapped(values: Schema) -> Schema:
    """An object with values of one kind."""
    return {"type": "object", "additionalProperties": values}


def maybe(schema: Schema) -> Schema:
    """The same, or null, as Go has it for what is empty."""
    return {"anyOf": [schema, {"type": "null"}]}


def shape(**properties: Schema) -> Schema:
    """An object that has these; others may be there."""
    return {"type": "object", "properties": properties, "required": sorted(properties)}


def optional(**properties: Schema) -> Schema:
    """An object that may have these, as requests do."""
    return {"type": "object", "properties": properties}


def named(name: str) -> Schema:
    """One of the document's own shapes."""
    return {"$ref": f"#/components/schemas/{name}"}


@dataclass(frozen=True, slots=True)
class Reply:
    """What comes with one status. ``lines``: one such document a line; ``schema`` None is an empty body."""

    schema: Schema | None = None
    content: str = JSON
    lines: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """What a route takes and answers. ``query`` and ``body`` are schemas; ``replies`` by status; ``errors`` are the
    statuses with ``{"message": ...}`` beside 400, which any request may earn; ``needs`` are queries that must be there.
    ``raw``: the connection stops being HTTP."""

    summary: str
    replies: Mapping[int, Reply] = field(default_factory=dict)
    query: Mapping[str, Schema] = field(default_factory=dict)
    needs: Sequence[str] = ()
    body: Schema | None = None
    body_type: str = JSON
    errors: Sequence[int] = ()
    raw: bool = False
