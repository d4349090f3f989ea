"""The policy: for which registries and repositories a pull asks for a signature, and by which keys.

    {"default": "ignore",
     "registries": {"reg.example.com": {"mode": "require", "keys": ["/etc/wherry/team.pub"]},
                    "reg.example.com/tests": {"mode": "warn", "keys": ["-----BEGIN PUBLIC KEY-----..."]}}}

The longest name that an image's begins with, by whole components, decides; ``default`` is for all others. A key is a
file's absolute path, or the key itself.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from wherry.errors import FailedPrecondition, InvalidArgument

Mode = Literal["require", "warn", "ignore"]
_MODES: Mapping[str, Mode] = {"require": "require", "warn": "warn", "ignore": "ignore"}
_PEM = "-----BEGIN "
_LARGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class Rule:
    """What is asked of an image: ``keys`` are in PEM; a signature by any of them is enough."""

    mode: Mode = "ignore"
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """``rules`` by the beginning of an image's canonical name (``docker.io/library/hello``)."""

    default: Rule = Rule()
    rules: Mapping[str, Rule] = field(default_factory=dict)

    def rule(self, name: str) -> Rule:
        """That of the image whose canonical name without tag is ``name``."""
        parts = name.split("/")
        for length in range(len(parts), 0, -1):
            found = self.rules.get("/".join(parts[:length]))
            if found is not None:
                return found
        return self.default


def read_policy(path: str, *, must_exist: bool) -> Policy:
    """The policy in that file. FailedPrecondition: it cannot be read or is none, and nothing may be pulled by it."""
    try:
        text = _read(path)
    except FileNotFoundError:
        if must_exist:
            raise FailedPrecondition(f"there is no trust policy {path}: write one, or start without it") from None
        return Policy()
    except OSError as error:
        raise FailedPrecondition(f"cannot read the trust policy {path}: {error.strerror}") from None
    try:
        return parse_policy(text)
    except InvalidArgument as error:
        raise FailedPrecondition(f"trust policy {path}: {error}") from None


def parse_policy(text: str) -> Policy:
    """InvalidArgument: it is none, or a key's file cannot be read."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidArgument("it is not JSON") from None
    found = _object(document, "it", {"default", "registries"})
    registries = _object(found.get("registries", {}), "registries")
    rules = {name.rstrip("/"): _rule(value, name) for name, value in registries.items()}
    default = found.get("default", "ignore")
    return Policy(_rule(default if isinstance(default, dict) else {"mode": default}, "default"), rules)


def _rule(value: Any, name: str) -> Rule:
    found = _object(value, name[:100], {"mode", "keys"})
    mode = _MODES.get(str(found.get("mode")))
    if mode is None:
        raise InvalidArgument(f"{name[:100]}: its mode must be require, warn or ignore")
    keys = found.get("keys", [])
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise InvalidArgument(f"{name[:100]}: keys must be a list of texts")
    if mode != "ignore" and not keys:
        raise InvalidArgument(f"{name[:100]}: to {mode} signatures, keys must be given")
    return Rule(mode, tuple(_key(key, name) for key in keys))


def _key(text: str, name: str) -> str:
    if text.lstrip().startswith(_PEM):
        return text
    if not os.path.isabs(text):
        raise InvalidArgument(f"{name[:100]}: a key is an absolute path or a key in PEM, not {text[:60]!r}")
    try:
        return _read(text)
    except OSError as error:
        raise InvalidArgument(f"{name[:100]}: cannot read key {text[:200]}: {error.strerror}") from None


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read(_LARGEST)


def _object(value: Any, what: str, known: set[str] | None = None) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidArgument(f"{what} must be an object")
    strange = sorted(set(value) - known) if known is not None else []
    if strange:
        raise InvalidArgument(f"{what} has {strange[0][:60]!r}, which nobody understands")
    return value
