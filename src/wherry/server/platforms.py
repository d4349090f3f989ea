"""The field ``platform`` of requests: JSON since API 1.46, or as users write it."""

import json

from wherry.errors import InvalidArgument
from wherry.oci.platform import Platform
from wherry.server.query import Query


def platform_of(query: Query) -> Platform | None:
    """None: none was named. InvalidArgument."""
    text = query.text("platform")
    return parsed(text) if text else None


def parsed(text: str) -> Platform:
    """One of either form. InvalidArgument."""
    if not text.startswith("{"):
        return Platform.parse(text)
    try:
        return Platform.from_json(json.loads(text))
    except (ValueError, RecursionError):
        raise InvalidArgument(f"invalid platform: {text[:80]!r}") from None
