"""A registry's refusals as wherry's errors. Pure.

Source: distribution-spec v1.1.0, "Error Codes"; the words are joined as docker shows them.
"""

import json
from typing import Any

from wherry.errors import (
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    WherryError,
)

BODY_LIMIT = 64 << 10
_SHOWN = 300
_KINDS: dict[int, type[WherryError]] = {
    400: InvalidArgument,
    401: Unauthenticated,
    403: PermissionDenied,
    404: NotFound,
    413: InvalidArgument,
    429: ResourceExhausted,
}
_WORDS = {
    401: "unauthorized: authentication required",
    403: "denied: requested access to the resource is denied",
    404: "not found",
    407: "the proxy wants a login: put USER:PASSWORD@ into its URL",
    429: "toomanyrequests: too many requests",
}
_CODES: dict[str, type[WherryError]] = {
    "UNAUTHORIZED": Unauthenticated,
    "DENIED": PermissionDenied,
    "NAME_UNKNOWN": NotFound,
    "MANIFEST_UNKNOWN": NotFound,
    "BLOB_UNKNOWN": NotFound,
    "TOOMANYREQUESTS": ResourceExhausted,
}


def refusal(status: int, body: bytes, what: str) -> WherryError:
    """The error for a status of 400 or above; ``what`` names the request (``Get "https://..."``)."""
    errors = _errors(body)
    if errors:
        code, text = errors[0]
        kind = _CODES.get(code) or _KINDS.get(status, Unavailable)
        return kind(text)
    kind = _KINDS.get(status, Unavailable)
    return kind(_WORDS.get(status) or f"{what}: the registry answered with status {status}")


def _errors(body: bytes) -> list[tuple[str, str]]:
    """(code, text) of each error that the body tells of."""
    try:
        document: Any = json.loads(body[:BODY_LIMIT])
    except (ValueError, RecursionError):
        return []
    listed = document.get("errors") if isinstance(document, dict) else None
    found = []
    for error in listed if isinstance(listed, list) else ():
        code = error.get("code") if isinstance(error, dict) else None
        if isinstance(code, str) and code:
            message = error.get("message")
            words = [code.lower().replace("_", " ")[:60], message if isinstance(message, str) else ""]
            found.append((code, ": ".join(" ".join(word.split())[:_SHOWN] for word in words if word)))
    return found
