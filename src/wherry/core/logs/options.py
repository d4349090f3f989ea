"""What ``--log-opt`` may say, checked in dockerd's words. Pure.

Source: moby daemon/logger/factory.go, daemon/logger/jsonfilelog, docker/go-units size.go.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from wherry.booleans import BOOLEANS
from wherry.core.logs.syslog import Target, Tls
from wherry.errors import InvalidArgument

JSON_FILE: Final = "json-file"
LOCAL: Final = "local"
NONE: Final = "none"
SYSLOG: Final = "syslog"
DRIVERS: Final = (JSON_FILE, LOCAL, NONE, SYSLOG)

# labels, env and tag concern what the engine shows of each line; the others the file.
_ABOUT_LINES = frozenset("labels labels-regex env env-regex tag".split())
_FILE_OPTIONS = frozenset("max-file max-size compress".split()) | _ABOUT_LINES
_SYSLOG_OPTIONS = _ABOUT_LINES | frozenset(
    "syslog-address syslog-facility syslog-format syslog-tls-ca-cert syslog-tls-cert syslog-tls-key "
    "syslog-tls-skip-verify".split()
)
# docker takes these with any driver; the cache is what `logs` reads of a driver that keeps nothing itself.
_ANY_OPTIONS = frozenset("mode max-buffer-size cache-disabled cache-max-size cache-max-file cache-compress".split())
_LOCAL_DEFAULTS = {"max-size": "20m", "max-file": "5", "compress": "true"}
_CACHE: Final = "cache-"
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgtp]?)i?b?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}

_TAG_FIELDS: Final = ("DaemonName", "FullID", "ID", "ImageFullID", "ImageID", "ImageName", "Name")
TAG_FIELD: Final = re.compile(rf"{{{{-?\s*\.({'|'.join(_TAG_FIELDS)})\s*-?}}}}")
"""A field of a container in a tag; the rest of Go's templates is not read."""


@dataclass(frozen=True, slots=True)
class FileOptions:
    """``max_size`` in bytes, 0 is unlimited; ``max_files`` how many files there may be, the one in use included."""

    max_size: int = 0
    max_files: int = 1
    compress: bool = False


def check(driver: str, options: Mapping[str, str]) -> None:
    """InvalidArgument: no such driver, or options that it does not have."""
    if driver == NONE:
        return
    mode = options.get("mode", "")
    if mode not in ("", "blocking", "non-blocking"):
        raise InvalidArgument(f"logger: logging mode not supported: {mode[:80]}")
    if "max-buffer-size" in options:
        if mode != "non-blocking":
            raise InvalidArgument("logger: max-buffer-size option is only supported with 'mode=non-blocking'")
        parse_size(options["max-buffer-size"], 1024)
    if "{{" in TAG_FIELD.sub("", options.get("tag", "")):
        known = ", ".join(_TAG_FIELDS)
        raise InvalidArgument(f"logger: invalid tag '{options['tag'][:80]}': what {{{{.NAME}}}} may name is {known}")
    if driver not in DRIVERS:
        raise InvalidArgument(
            f"logger: no log driver named '{driver[:80]}' is registered (known: {', '.join(DRIVERS)})"
        )
    _PARSERS[driver](options)


def parse_json_file(options: Mapping[str, str]) -> FileOptions:
    """Options of json-file. InvalidArgument."""
    _only(options, _FILE_OPTIONS, JSON_FILE)
    return _file(options, 1000)


def parse_local(options: Mapping[str, str]) -> FileOptions:
    """Options of local: five files of 20 MiB, old ones compressed, unless they say otherwise. InvalidArgument."""
    _only(options, _FILE_OPTIONS, LOCAL)
    return _local(options)


def parse_cache(options: Mapping[str, str]) -> FileOptions | None:
    """How `logs` of a driver that keeps nothing itself is served: as by local, unless ``cache-disabled``.

    InvalidArgument.
    """
    if _boolean(options.get("cache-disabled", "false"), "cache-disabled"):
        return None
    return _local({key.removeprefix(_CACHE): value for key, value in options.items() if key.startswith(_CACHE)})


def parse_syslog(options: Mapping[str, str]) -> Target:
    """Options of syslog. InvalidArgument."""
    _only(options, _SYSLOG_OPTIONS, SYSLOG)
    parse_cache(options)
    return Target.parse(
        options.get("syslog-address", ""),
        options.get("syslog-facility", ""),
        options.get("syslog-format", ""),
        options.get("tag", ""),
        Tls(
            options.get("syslog-tls-ca-cert", ""),
            options.get("syslog-tls-cert", ""),
            options.get("syslog-tls-key", ""),
            verify="syslog-tls-skip-verify" not in options,  # whatever it says, as docker has it
        ),
    )


_PARSERS: Final[Mapping[str, Callable[[Mapping[str, str]], object]]] = {
    JSON_FILE: parse_json_file,
    LOCAL: parse_local,
    SYSLOG: parse_syslog,
}


def _only(options: Mapping[str, str], known: frozenset[str], driver: str) -> None:
    for key in options:
        if key not in known | _ANY_OPTIONS:
            raise InvalidArgument(f"unknown log opt '{key[:80]}' for {driver} log driver")


def _local(options: Mapping[str, str]) -> FileOptions:
    given = {**_LOCAL_DEFAULTS, **options}
    alone = given["max-file"] == "1" and "compress" not in options
    return _file({**given, "compress": "false"} if alone else given, 1024)


def _file(options: Mapping[str, str], base: int) -> FileOptions:
    max_size = 0
    if "max-size" in options:
        max_size = parse_size(options["max-size"], base)
        if max_size <= 0:
            raise InvalidArgument("max-size must be a positive number")
    max_files = _integer(options.get("max-file", "1"))
    if max_files < 1:
        raise InvalidArgument("max-file cannot be less than 1")
    compress = _boolean(options.get("compress", "false"), "compress")
    if compress and (max_files == 1 or not max_size):
        raise InvalidArgument("compress cannot be true when max-file is less than 2 or max-size is not set")
    return FileOptions(max_size, max_files, compress)


def parse_size(text: str, base: int) -> int:
    """``10m``, ``1.5 GB``, ``4096`` as bytes; ``base`` is 1000 or 1024. InvalidArgument."""
    match = _SIZE.fullmatch(text.strip()) if len(text) <= 40 else None
    if match is None:
        raise InvalidArgument(f"invalid size: '{text[:80]}'")
    return min(int(float(match[1]) * base ** _POWERS[match[2].lower()]), 1 << 62)


def _integer(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,9}", text):
        raise InvalidArgument(f'max-file: strconv.Atoi: parsing "{text[:80]}": invalid syntax')
    return int(text)


def _boolean(text: str, name: str) -> bool:
    if text not in BOOLEANS:
        raise InvalidArgument(f'{name}: strconv.ParseBool: parsing "{text[:80]}": invalid syntax')
    return BOOLEANS[text]
