"""What a container says of its HTTP server: annotations in, a value out. Pure."""

from __future__ import annotations

from wherry.errors import InvalidArgument
from wherry.record import Record
from wherry.shim.birth import HTTP_ANNOTATION

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Mapping

PORT = HTTP_ANNOTATION + ".port"
CONCURRENCY = HTTP_ANNOTATION + ".concurrency"
DEADLINE = HTTP_ANNOTATION + ".deadline"
BODY = HTTP_ANNOTATION + ".body"
REUSE = HTTP_ANNOTATION + ".reuse"
HOSTS = HTTP_ANNOTATION + ".hosts"
CERTIFICATE = HTTP_ANNOTATION + ".cert"
KEY = HTTP_ANNOTATION + ".key"
_MOST_WORKERS = 1024
_MOST_REUSE = 1_000_000_000
_MOST_HOSTS = 256
_HOST = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-._:[]")
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


class Settings(Record):
    """``port`` inside the container; ``concurrency`` the most requests that are served at once; ``deadline`` seconds
    for a request from its head to the answer's end, 0 for none; ``body`` the most bytes a request's body may have;
    ``reuse`` the requests that one instance answers; ``certificate`` and ``key`` are files in the container, "" for no
    TLS; ``hosts`` are whom a component may ask: names, ``*.example.org``
    for those below one, with a port or without. None are all."""

    port: int = 80
    concurrency: int = 16
    deadline: float = 60.0
    body: int = 64 << 20
    reuse: int = 1
    certificate: str = ""
    key: str = ""
    hosts: tuple[str, ...] = ()  # the last: who is no server reads it there


def of(annotations: Mapping[str, str]) -> Settings:
    """InvalidArgument names the annotation that makes no sense."""
    certificate, key = _tls(annotations)
    return Settings(
        port=_number(annotations, PORT, Settings().port, 1, 65535),
        concurrency=_number(annotations, CONCURRENCY, Settings().concurrency, 1, _MOST_WORKERS),
        deadline=_seconds(annotations),
        body=_bytes(annotations),
        reuse=_number(annotations, REUSE, Settings().reuse, 1, _MOST_REUSE),
        certificate=certificate,
        key=key,
        hosts=_hosts(annotations),
    )


def _number(annotations: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = annotations.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and low <= int(text[:9]) <= high):
        raise InvalidArgument(f"{name} is {text[:40]!r}: a number from {low} to {high} is wanted")
    return int(text)


def _seconds(annotations: Mapping[str, str]) -> float:
    text = annotations.get(DEADLINE, "")
    if not text:
        return Settings().deadline
    digits, factor = (text[:-2], 0.001) if text.endswith("ms") else (text.removesuffix("s"), 1.0)
    if not (digits.isascii() and digits.isdigit() and len(digits) < 9):
        raise InvalidArgument(f"{DEADLINE} is {text[:40]!r}: write 30s or 500ms; 0 is none")
    return int(digits) * factor


def _bytes(annotations: Mapping[str, str]) -> int:
    text = annotations.get(BODY, "").lower()
    if not text:
        return Settings().body
    digits = text.rstrip("bkmg")
    unit = _UNITS.get(text[len(digits) :])
    if unit is None or not (digits.isascii() and digits.isdigit() and len(digits) < 12):
        raise InvalidArgument(f"{BODY} is {text[:40]!r}: write a number of bytes, 512k or 10m")
    return int(digits) * unit


def _tls(annotations: Mapping[str, str]) -> tuple[str, str]:
    certificate, key = annotations.get(CERTIFICATE, ""), annotations.get(KEY, "")
    if key and not certificate:
        raise InvalidArgument(f"{KEY} is given without {CERTIFICATE}")
    for name, path in ((CERTIFICATE, certificate), (KEY, key)):
        if path and (not path.startswith("/") or "\0" in path):
            raise InvalidArgument(f"{name} is {path[:60]!r}: a path in the container is wanted, from / on")
    return certificate, key or certificate


def _hosts(annotations: Mapping[str, str]) -> tuple[str, ...]:
    words = tuple(word for word in annotations.get(HOSTS, "").lower().replace(",", " ").split())
    for word in words:
        if not _HOST.issuperset(word.removeprefix("*.")) or not word.removeprefix("*."):
            raise InvalidArgument(f"{HOSTS} has {word[:60]!r}: write names as example.org, *.example.org or host:8080")
    if len(words) > _MOST_HOSTS:
        raise InvalidArgument(f"{HOSTS} has over {_MOST_HOSTS} names")
    return words
