"""The value of ``RUN --mount=type=bind,...``. Pure; whether a mount can be made is the builder's business.

Source: https://docs.docker.com/reference/dockerfile/#run---mount; the wording of the errors is BuildKit's.
"""

import csv
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from wherry.booleans import BOOLEANS
from wherry.dockerfile.faults import did_you_mean, one_line, quoted
from wherry.errors import InvalidArgument

_TYPES: Final = ("bind", "cache", "tmpfs", "secret", "ssh")
_SHARING: Final = ("shared", "private", "locked")
_UNITS: Final = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


@dataclass(frozen=True, slots=True)
class RunMount:
    """One mount of a RUN. ``size`` in bytes, 0 when not given; ``mode``, ``uid``, ``gid`` None when not given."""

    type: str = "bind"
    source: str = ""
    target: str = ""
    from_stage: str = ""
    read_only: bool = True
    required: bool = False
    id: str = ""
    sharing: str = ""
    size: int = 0
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    env: str = ""


def _identity(text: str) -> str:
    return text


def read(text: str, expand: Callable[[str], str] = _identity) -> RunMount:
    """Read one ``--mount`` value, each field's value through ``expand``. InvalidArgument."""
    try:
        (fields,) = csv.reader([text], strict=True)
    except (csv.Error, ValueError):
        raise InvalidArgument(f"failed to parse csv mounts: {quoted(text)}") from None
    mount, access = RunMount(), None
    for item in fields:
        key, equals, value = item.partition("=")
        key = key.lower()
        if key == "from" and "$" in value:
            raise InvalidArgument("'from' doesn't support variable expansion, define alias stage instead")
        value = expand(value)
        if key in _ACCESS:
            given = _boolean(key, value) if equals else True
            access = given is _ACCESS[key]
        elif not equals and key != "required":
            raise InvalidArgument(f"invalid field '{one_line(item)}' must be a key=value pair")
        else:
            mount = _with(mount, key, value if equals else "true", item)
    return _checked(replace(mount, read_only=mount.type in ("bind", "secret", "ssh") if access is None else access))


_ACCESS: Final = {"readonly": True, "ro": True, "readwrite": False, "rw": False}


def _boolean(key: str, value: str) -> bool:
    if value not in BOOLEANS:
        raise InvalidArgument(f"invalid value for {key}: {one_line(value)}")
    return BOOLEANS[value]


def _number(key: str, value: str, base: int = 10) -> int:
    try:
        number = int(value, base) if value.isascii() and value.isdigit() and len(value) < 12 else -1
    except ValueError:
        number = -1
    if not 0 <= number < 2**32:
        raise InvalidArgument(f"invalid value {one_line(value)} for {key}")
    return number


def _bytes(value: str) -> int:
    digits = value.rstrip("bBkKmMgGtT")
    unit = value[len(digits) :].lower()
    unit = unit if unit == "b" else unit.removesuffix("b")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 12) or unit not in _UNITS:
        raise InvalidArgument(f"invalid value for size: {one_line(value)}")
    return int(digits) * _UNITS[unit]


def _one_of(what: str, value: str, options: tuple[str, ...]) -> str:
    if value.lower() not in options:
        raise InvalidArgument(f"unsupported {what} {quoted(value)}{did_you_mean(value, options)}")
    return value.lower()


_FIELDS: Final[dict[str, tuple[str, Callable[[str], Any]]]] = {
    "type": ("type", lambda value: _one_of("mount type", value, _TYPES)),
    "from": ("from_stage", str),
    "source": ("source", str),
    "src": ("source", str),
    "target": ("target", str),
    "dst": ("target", str),
    "destination": ("target", str),
    "required": ("required", lambda value: _boolean("required", value)),
    "size": ("size", _bytes),
    "id": ("id", str),
    "sharing": ("sharing", lambda value: _one_of("sharing value", value, _SHARING)),
    "mode": ("mode", lambda value: _number("mode", value, 8)),
    "uid": ("uid", lambda value: _number("uid", value)),
    "gid": ("gid", lambda value: _number("gid", value)),
    "env": ("env", str),
}


def _with(mount: RunMount, key: str, value: str, item: str) -> RunMount:
    field = _FIELDS.get(key)
    if field is None:
        hint = did_you_mean(key, (*_FIELDS, *_ACCESS))
        raise InvalidArgument(f"unexpected key '{one_line(key)}' in '{one_line(item)}'{hint}")
    name, convert = field
    return replace(mount, **{name: convert(value)})


def _checked(mount: RunMount) -> RunMount:
    """Refuse what does not go together: the first rule that is broken is told."""
    for broken, told in _RULES:
        if broken(mount):
            raise InvalidArgument(told.format(type=mount.type))
    return mount


def _unowned(name: str) -> tuple[Callable[[RunMount], bool], str]:
    """``name`` is for mounts whose files are made for them."""

    def broken(mount: RunMount) -> bool:
        return getattr(mount, name) is not None and mount.type not in ("secret", "ssh", "cache")

    return broken, name + ' not allowed for "{type}" type mounts'


_RULES: Final[tuple[tuple[Callable[[RunMount], bool], str], ...]] = (
    *map(_unowned, ("mode", "uid", "gid")),
    (
        lambda mount: mount.required and mount.type not in ("secret", "ssh"),
        "unexpected key 'required' for mount type '{type}'",
    ),
    (lambda mount: mount.size > 0 and mount.type != "tmpfs", "unexpected key 'size' for mount type '{type}'"),
    (lambda mount: mount.sharing != "" and mount.type != "cache", "invalid cache sharing set for {type} mount"),
    (lambda mount: mount.type == "secret" and mount.from_stage != "", "secret mount should not have a from"),
    (
        lambda mount: mount.type == "secret" and not (mount.source or mount.target or mount.id),
        "invalid secret mount. one of source, target required",
    ),
    (
        lambda mount: mount.type == "secret" and mount.source != "" and mount.id != "",
        "both source and id can't be set",
    ),
)
