"""What to show a registry: a name and password, or a token fetched for the scope at hand and kept while it lasts.

No I/O of its own: how a token server is asked comes as a parameter.
Sources: https://distribution.github.io/distribution/spec/auth/token/ and .../spec/auth/oauth/
"""

import base64
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from wherry.core.remotes.challenge import Challenge
from wherry.core.remotes.remote import Credentials
from wherry.errors import Unavailable

_SHORTEST = 60.0
"""Seconds that a token is good for when its server does not say; less is never believed, as the spec has it."""
_LONGEST = 86400.0
"""Seconds that one is kept at the most, whatever its server says."""
_MARGIN = 10.0
_CLIENT = "wherry"


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What to ask a token server. ``form`` is a POST's body; ``authorization`` goes along, if there is one."""

    url: str
    form: Mapping[str, str] | None = None
    authorization: str = field(default="", repr=False)


Ask = Callable[[TokenRequest], Awaitable[bytes]]


@dataclass(slots=True)
class _Token:
    text: str
    until: float


class Authorizer:
    """For one user at one endpoint. ``clock`` gives seconds, only differences count."""

    def __init__(self, credentials: Credentials, ask: Ask, clock: Callable[[], float]) -> None:
        self._credentials = credentials
        self._ask = ask
        self._clock = clock
        self._challenge: Challenge | None = None
        self._tokens: dict[tuple[str, ...], _Token] = {}
        self.identity_token = ""

    def challenged(self, challenges: Sequence[Challenge]) -> bool:
        """A registry said 401 and these. False: none of them can be answered. What was shown before is forgotten."""
        known = {challenge.scheme: challenge for challenge in reversed(challenges)}
        self._challenge = known.get("bearer") or known.get("basic")
        self._tokens.clear()
        if self._challenge is None or (
            self._challenge.scheme == "bearer" and not self._challenge.parameters.get("realm")
        ):
            self._challenge = None
            return False
        return self._challenge.scheme == "bearer" or bool(self._credentials.username)

    async def header(self, scopes: Sequence[str]) -> str:
        """The ``Authorization`` header, "" for none. What the token server refuses is raised as it says it."""
        if self._credentials.registry_token:
            return f"Bearer {self._credentials.registry_token}"
        if self._challenge is None:
            return ""
        if self._challenge.scheme == "basic":
            return basic(self._credentials) if self._credentials.username else ""
        key = tuple(scopes)
        token = self._tokens.get(key)
        if token is None or token.until <= self._clock():
            token = self._tokens[key] = await self._fetch(self._challenge, key)
        return f"Bearer {token.text}"

    async def _fetch(self, challenge: Challenge, scopes: Sequence[str]) -> _Token:
        asked = self._clock()
        document = _parsed(await self._ask(request_for(challenge, scopes, self._credentials)))
        token = document.get("token") or document.get("access_token")
        if not isinstance(token, str) or not _fits_header(token):
            raise Unavailable("the registry's token server answered without a token")
        lasts = document.get("expires_in")
        lasts = float(min(lasts, _LONGEST)) if isinstance(lasts, int | float) and lasts > _SHORTEST else _SHORTEST
        refresh = document.get("refresh_token")
        if isinstance(refresh, str) and _fits_header(refresh):
            self.identity_token = refresh
        return _Token(token, asked + lasts - _MARGIN)


def request_for(challenge: Challenge, scopes: Sequence[str], credentials: Credentials) -> TokenRequest:
    """How to ask for a token for ``scopes``. An identity token is exchanged by OAuth 2, a password shown as it is."""
    realm, service = challenge.parameters.get("realm", ""), challenge.parameters.get("service", "")
    if credentials.identity_token:
        form = {
            "grant_type": "refresh_token",
            "refresh_token": credentials.identity_token,
            "service": service,
            "client_id": _CLIENT,
            "scope": " ".join(scopes),
        }
        return TokenRequest(realm, form)
    query = [("service", service)] if service else []
    query += [("scope", scope) for scope in scopes]
    if credentials.username:
        query += [("account", credentials.username), ("client_id", _CLIENT), ("offline_token", "true")]
    url = f"{realm}{'&' if '?' in realm else '?'}{urlencode(query)}" if query else realm
    return TokenRequest(url, None, basic(credentials) if credentials.username else "")


def basic(credentials: Credentials) -> str:
    """RFC 7617, in UTF-8."""
    pair = f"{credentials.username}:{credentials.password}".encode("utf-8", "replace")
    return f"Basic {base64.b64encode(pair).decode('ascii')}"


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise Unavailable("the registry's token server did not answer with a JSON object")
    return document


def _fits_header(text: str) -> bool:
    return bool(text) and text.isascii() and text.isprintable() and len(text) < 64 << 10
