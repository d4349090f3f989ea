"""``WWW-Authenticate``: what a registry wants to see before it answers. Pure.

Sources: RFC 9110 section 11; https://distribution.github.io/distribution/spec/auth/token/
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_SCHEME = re.compile(rf"\s*,?\s*({_TOKEN})(?:\s+|$)(?!=)", re.ASCII)
_PARAMETER = re.compile(rf'\s*,?\s*({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))', re.ASCII)
_LONGEST = 16 << 10


@dataclass(frozen=True, slots=True)
class Challenge:
    """``scheme`` in lower case: ``basic``, ``bearer``; names of parameters in lower case too."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def parse(headers: Iterable[str]) -> list[Challenge]:
    """Every challenge that can be read, in order; what cannot be read is left out."""
    found = []
    for header in headers:
        place = 0
        text = header[:_LONGEST]
        while match := _SCHEME.match(text, place):
            place = match.end()
            parameters: dict[str, str] = {}
            while pair := _PARAMETER.match(text, place):
                place = pair.end()
                quoted = re.sub(r"\\(.)", r"\1", pair[2]) if pair[2] is not None else pair[3]
                parameters.setdefault(pair[1].lower(), quoted)
            found.append(Challenge(match[1].lower(), parameters))
    return found
