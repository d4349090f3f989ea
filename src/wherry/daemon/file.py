"""The configuration file: a JSON object whose keys are the long flags', as dockerd's. Read, checked, merged with flags.

Source: https://docs.docker.com/reference/cli/dockerd/#daemon-configuration-file. A flag that may be repeated has a key
in the plural, with a list.
"""

import difflib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from wherry.errors import InvalidArgument
from wherry.linux.files import open_regular

LIMIT: Final = 1 << 20
"""Bytes that the file may have."""
_TEXT: Final = "a string"
_FLAG: Final = "true or false"
_LIST: Final = "a list of strings"
_MAP: Final = "an object of strings"
_WHOLE: Final = "a whole number"


@dataclass(frozen=True, slots=True)
class Key:
    """``flag`` is the flag's attribute, ``kind`` what the value must be."""

    flag: str
    kind: str = _TEXT


KEYS: Final[Mapping[str, Key]] = {
    "root": Key("root"),
    "hosts": Key("host", _LIST),
    "group": Key("group"),
    "debug": Key("debug", _FLAG),
    "log-level": Key("log_level"),
    "log-driver": Key("log_driver"),
    "log-opts": Key("log_opt", _MAP),
    "labels": Key("label", _LIST),
    "tls": Key("tls", _FLAG),
    "tlsverify": Key("tlsverify", _FLAG),
    "tlscacert": Key("tlscacert"),
    "tlscert": Key("tlscert"),
    "tlskey": Key("tlskey"),
    "insecure-registries": Key("insecure_registry", _LIST),
    "registry-mirrors": Key("registry_mirror", _LIST),
    "registries": Key("registry", _LIST),
    "certs-dirs": Key("certs_dir", _LIST),
    "http-proxy": Key("http_proxy"),
    "https-proxy": Key("https_proxy"),
    "no-proxy": Key("no_proxy"),
    "max-layer-size": Key("max_layer_size"),
    "max-layer-entries": Key("max_layer_entries", _WHOLE),
    "trust-policy": Key("trust_policy"),
}
"""The schema; docs/reference.md has the same table."""


def read(path: str, *, must_exist: bool) -> bytes | None:
    """The file's bytes; None if there is none and none need be. InvalidArgument. Blocks."""
    try:
        with open(open_regular(path), "rb") as file:
            data = file.read(LIMIT + 1)
    except FileNotFoundError:
        if not must_exist:
            return None
        raise InvalidArgument(f"cannot read the configuration file {path}: there is none") from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InvalidArgument(f"cannot read the configuration file {path}: {reason}") from error
    if len(data) > LIMIT:
        raise InvalidArgument(f"the configuration file {path} is too large: it may have {LIMIT >> 20} MiB")
    return data


def settings(data: bytes, path: str) -> dict[str, Any]:
    """What the file says, by the flags' attributes. InvalidArgument names the file and the key. Pure."""
    try:
        document = json.loads(data, object_pairs_hook=_once) if data.strip() else {}
    except InvalidArgument as error:
        raise InvalidArgument(f"the configuration file {path} is wrong: {error}") from None
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        if "digits" in reason:  # int()'s words are for programmers
            reason = "a number has too many digits"
        raise InvalidArgument(f"the configuration file {path} is no JSON: {reason}") from None
    if not isinstance(document, dict):
        raise InvalidArgument(f"the configuration file {path} is wrong: it must be a JSON object")
    if wrong := [fault for name, value in document.items() if (fault := _fault(name, value))]:
        raise InvalidArgument(f"the configuration file {path} is wrong: {'; '.join(wrong[:5])}")
    return {KEYS[name].flag: _value(KEYS[name].kind, value) for name, value in document.items()}


def _once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise InvalidArgument(f"the key {name[:60]!r} is there twice")
        found[name] = value
    return found


def _fault(name: str, value: Any) -> str:
    """What is wrong with one key, "" if nothing is."""
    key = KEYS.get(name)
    if key is None:
        near = difflib.get_close_matches(name[:60], KEYS, 1)
        return f"unknown key {name[:60]!r}" + (f": did you mean {near[0]!r}?" if near else "")
    return "" if _FITS[key.kind](value) else f"{name} must be {key.kind}"


def _texts(values: Iterable[Any]) -> bool:
    return all(isinstance(value, str) and "\0" not in value for value in values)


_FITS: Final = {
    _TEXT: lambda value: _texts([value]),
    _FLAG: lambda value: isinstance(value, bool),
    _LIST: lambda value: isinstance(value, list) and _texts(value),
    _MAP: lambda value: isinstance(value, dict) and _texts(value.values()),
    _WHOLE: lambda value: isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**12,
}


def _value(kind: str, value: Any) -> Any:
    """As the flag would have it."""
    if kind == _MAP:
        return [f"{name}={text}" for name, text in value.items()]
    return str(value) if kind == _WHOLE else value


def merged(given: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """``given`` by flags and ``told`` by the file together. InvalidArgument: they differ, and nobody can say which one
    is meant."""
    names = {key.flag: name for name, key in KEYS.items()}
    both = [flag for flag in told if flag in given and told[flag] != given[flag]]
    if both:
        words = ", ".join(
            f"{names[flag]} (from flag: {_shown(given[flag])}, from file: {_shown(told[flag])})" for flag in both
        )
        raise InvalidArgument(f"said both as a flag and in the configuration file, and not the same: {words}")
    return {**told, **given}


def _shown(value: Any) -> str:
    text = "[" + ", ".join(value) + "]" if isinstance(value, list) else str(value)
    return os.fsencode(text).decode(errors="replace")[:100]
