"""Logins that come with a request: ``X-Registry-Auth`` and ``X-Registry-Config``. Pure.

Source: Docker Engine API v1.51, "Authentication": base64 in the alphabet for URLs, of JSON.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from wherry.core.remotes.remote import ANONYMOUS, Credentials
from wherry.errors import InvalidArgument

_LONGEST = 1 << 20


def from_header(text: str) -> Credentials:
    """``X-Registry-Auth``; nobody, if it is empty. InvalidArgument."""
    return from_json(_decoded(text, "X-Registry-Auth")) if text else ANONYMOUS


def several(text: str) -> dict[str, Credentials]:
    """``X-Registry-Config``: logins by the registry's address. InvalidArgument."""
    document = _decoded(text, "X-Registry-Config") if text else {}
    return {name: from_json(value) for name, value in document.items() if isinstance(value, Mapping)}


def from_json(document: Mapping[str, Any]) -> Credentials:
    """Docker's AuthConfig. InvalidArgument: a field that must be text is none."""
    fields = {name: document.get(name) or "" for name in ("username", "password", "identitytoken", "registrytoken")}
    if not all(isinstance(value, str) for value in fields.values()):
        raise InvalidArgument("invalid registry credentials: username, password and tokens must be strings")
    auth = document.get("auth")
    if not fields["username"] and isinstance(auth, str) and auth:
        name, _, password = _text(auth, "auth").partition(":")
        fields |= {"username": name, "password": password.rstrip("\0")}
    return Credentials(fields["username"], fields["password"], fields["identitytoken"], fields["registrytoken"])


def _decoded(text: str, what: str) -> Mapping[str, Any]:
    try:
        document = json.loads(_text(text, what))
    except (ValueError, RecursionError):
        raise InvalidArgument(f"invalid {what}: it is not JSON in base64") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise InvalidArgument(f"invalid {what}: it is no JSON object")
    return document


def _text(text: str, what: str) -> str:
    if len(text) > _LONGEST:
        raise InvalidArgument(f"invalid {what}: it is too long")
    try:
        plain = text.replace("-", "+").replace("_", "/").rstrip("=")
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        raise InvalidArgument(f"invalid {what}: it is not JSON in base64") from None
